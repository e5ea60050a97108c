// @ts-check
/** @import { Agent, PageTime, Reading, ReadingCard } from "../../types.js" */

// A card for each quantity: its newest value, and how old that is.

import { seriesOf } from "../charts/series.js";
import { byId, copyTemplate, placeAt, setData, setHref, setText, setTitle } from "../shared/dom.js";
import { duration, quantityName, valueText } from "../shared/format.js";
import { viewAddress } from "../shared/views.js";
import { UNLISTED_MS, agentNamed, fullName, wall } from "../shared/wall.js";
import { addValue, drawSparkline, emptySparkline, refreshSparkline } from "./sparkline.js";

const MAX_LARGE_LENGTH = 8; // characters; a longer value is shown smaller

/** @type {Map<string, ReadingCard>} */
export const cards = new Map();

/**
 * Matches the cards to the changed readings of these agents.
 * @param {string[]} names
 */
export function syncCards(names) {
  const count = cards.size;
  for (const name of names) {
    const agent = agentNamed(name);
    for (const [key, reading] of agent?.readings ?? []) syncCard(`${name}/${key}`, name, reading);
  }
  if (cards.size !== count) arrangeCards();
}

/** @param {string} key @param {string} agent @param {Reading} reading */
function syncCard(key, agent, reading) {
  const known = cards.get(key);
  if (known?.reading === reading) return;
  const card = known ?? makeCard(key, agent, reading);
  const isChanged = !known || card.reading.value !== reading.value;
  card.reading = reading;
  // A new value is shown at once instead of at the next tick.
  if (isChanged) renderCard(card, wall.at);
  setData(card.root, "value", reading.value);
  if (!isStale(card, wall.at)) addValue(card.sparkline, reading);
}

/** Puts the cards into the order of their agents, ports and quantities. */
function arrangeCards() {
  /** @param {Agent} agent */
  const keys = ({ name, readings }) =>
    [...readings.values()].sort(inOrder).map(({ port, quantity }) => `${name}/${port}/${quantity}`);
  const known = wall.agents.flatMap(keys).flatMap((key) => cards.get(key) ?? []);
  known.forEach((card, index) => placeAt(byId("reading-cards"), index, card.root));
}

/** @param {Reading} a @param {Reading} b */
function inOrder(a, b) {
  const [one, other] = a.port === b.port ? [a.quantity, b.quantity] : [a.port, b.port];
  return one < other ? -1 : 1;
}

/**
 * Removes the cards of readings that the wall has not listed for a while.
 * @param {PageTime} at
 */
export function dropUnlistedCards(at) {
  for (const agent of wall.agents) {
    for (const key of agent.readings.keys()) {
      const card = cards.get(`${agent.name}/${key}`);
      if (card) card.listedAt = at;
    }
  }
  for (const [key, card] of cards) {
    if (at - card.listedAt <= UNLISTED_MS) continue;
    card.root.remove();
    cards.delete(key);
  }
}

/** @param {string} key @param {string} agent @param {Reading} reading */
function makeCard(key, agent, reading) {
  const { root, parts } = copyTemplate("reading-template");
  /** @type {ReadingCard} */
  const card = { agent, root, parts, reading, listedAt: wall.at, sparkline: emptySparkline() };
  root.dataset.reading = key;
  setText(parts.quantity, quantityName(reading.quantity));
  setTitle(parts.quantity, quantityName(reading.quantity));
  cards.set(key, card);
  return card;
}

/** @param {ReadingCard} card @param {PageTime} at */
export const readingAge = ({ reading }, at) => reading.age_ms + at - reading.at;

/** @param {ReadingCard} card @param {PageTime} at */
export const isStale = (card, at) => readingAge(card, at) > card.reading.stale_after_ms;

/** @param {ReadingCard} card @param {PageTime} at */
export function renderCard(card, at) {
  const { root, parts, reading } = card;
  const stale = isStale(card, at);
  const age = duration(readingAge(card, at));
  const number = valueText(reading.value, reading.unit);
  const port = fullName(card.agent, reading.port);
  setData(root, "stale", stale);
  setData(root, "long", number.length + reading.unit.length > MAX_LARGE_LENGTH);
  setText(parts.mark, stale ? `STALE ${age}` : "");
  setText(parts.number, number);
  setText(parts.unit, reading.unit);
  setText(parts.age, `${age} ago`);
  setText(parts.port, port);
  setTitle(parts.port, port);
  const series = seriesOf(card.agent, reading);
  setHref(root, series ? viewAddress("chart", { series: series.id }) : null);
  refreshSparkline(card.sparkline, series, at);
  if (!stale) drawSparkline(card, at);
}
