// The readings' cards: the newest value of each quantity, and how old it is.

import { byId, clone, placeAt, setData, setHref, setText, setTitle } from "./dom.js";
import { seriesOf } from "./series.js";
import { addValue, drawSpark, noPast, refreshPast } from "./spark.js";
import { address } from "./view.js";
import { UNLISTED_MS, fullName, wall } from "./wall.js";
import { duration, figure, quantityName } from "./words.js";

export const cards = new Map();

export function syncCards() {
  let index = 0;
  for (const agent of wall.agents) {
    for (const reading of agent.readings) {
      const key = `${agent.name}/${reading.port}/${reading.quantity}`;
      const card = cards.get(key) ?? makeCard(key, agent.name, reading);
      const changed = card.reading?.value !== reading.value;
      card.reading = reading;
      card.listedAt = wall.at;
      // A new value is shown at once and not at the next tick.
      if (changed) renderCard(card, wall.at);
      setData(card.root, "value", reading.value);
      if (!isStale(card, wall.at)) addValue(card.past, reading.age_ms, reading.value);
      placeAt(byId("reading-cards"), index++, card.root);
    }
  }
  for (const [key, card] of cards) {
    if (wall.at - card.listedAt <= UNLISTED_MS) continue;
    card.root.remove();
    cards.delete(key);
  }
}

function makeCard(key, agent, reading) {
  const { root, parts } = clone("reading-template");
  const card = { agent, root, parts, reading: null, listedAt: wall.at, past: noPast() };
  root.dataset.reading = key;
  setText(parts.quantity, quantityName(reading.quantity));
  setTitle(parts.quantity, parts.quantity.textContent);
  cards.set(key, card);
  return card;
}

export const readingAge = (card, at) => card.reading.age_ms + at - card.listedAt;
export const isStale = (card, at) => readingAge(card, at) > card.reading.stale_after_ms;

export function renderCard(card, at) {
  const { root, parts, reading } = card;
  const stale = isStale(card, at);
  const age = duration(readingAge(card, at));
  const number = figure(reading.value, reading.unit);
  setData(root, "stale", stale);
  setData(root, "long", number.length + reading.unit.length > 8);
  setText(parts.mark, stale ? `STALE ${age}` : "");
  setText(parts.number, number);
  setText(parts.unit, reading.unit);
  setText(parts.age, `${age} ago`);
  setText(parts.port, fullName(card.agent, reading.port));
  setTitle(parts.port, parts.port.textContent);
  const series = seriesOf(card.agent, reading);
  setHref(root, series ? address("chart", { series: series.id }) : null);
  refreshPast(card.past, card.agent, reading, at);
  if (!stale) drawSpark(card, at);
}
