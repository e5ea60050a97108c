// The quantities of the history, each a line above the cameras' lanes; which ones is chosen by their names.

import { askChart, nowUs } from "./api.js";
import { byId, clone, placeAt, setData, setText } from "./dom.js";
import { drawPlot, known, noneKnown, pointAt, writeTicks } from "./drawing.js";
import { latest } from "./latest.js";
import { series, seriesName } from "./series.js";
import { holds, widthOf } from "./span.js";
import { change, timeline } from "./timeline.js";
import { address } from "./view.js";
import { figure } from "./words.js";

const STORED = "watchpost.lines";
const FIRST = 3; // are shown to who has chosen none
const POINTS = 1200, BESIDE = 0.5;

const lines = new Map();

export function listen() {
  byId("line-names").addEventListener("click", ({ target }) => target.dataset.id && toggle(target.dataset.id));
}

/** By what does not change when a history is begun anew. */
const nameOf = ({ agent, port, quantity, unit }) => [agent, port, quantity, unit].join("/");

function chosenNames() {
  try {
    return JSON.parse(localStorage.getItem(STORED));
  } catch {
    return null; // no storage, or not ours
  }
}

const chosen = () => {
  const names = chosenNames();
  return names ? series.filter((one) => names.includes(nameOf(one))) : series.slice(0, FIRST);
};

function toggle(id) {
  const now = chosen().filter((one) => String(one.id) !== id);
  if (now.length === chosen().length) now.push(series.find((one) => String(one.id) === id));
  try {
    localStorage.setItem(STORED, JSON.stringify(now.map(nameOf)));
  } catch {
    // Without storage the choice is not kept.
  }
  syncLines();
}

export function syncLines() {
  const shown = chosen(), ids = new Set(shown.map((one) => one.id));
  syncNames(ids);
  for (const [id, line] of lines) {
    if (ids.has(id)) continue;
    line.root.remove();
    lines.delete(id);
  }
  shown.forEach((one, index) => placeAt(byId("lines"), index, lineOf(one).root));
  change();
}

/** Those there are stay, and with them the focus. */
function syncNames(pressed) {
  const list = byId("line-names");
  while (list.children.length > series.length) list.lastChild.remove();
  while (list.children.length < series.length) list.append(nameButton());
  series.forEach((one, index) => {
    const button = list.children[index];
    setData(button, "id", one.id);
    setText(button, seriesName(one));
    button.setAttribute("aria-pressed", pressed.has(one.id));
  });
}

function nameButton() {
  const button = document.createElement("button");
  button.type = "button";
  return button;
}

function lineOf(one) {
  if (!lines.has(one.id)) {
    const line = { one, ...clone("line-template"), data: noneKnown(), asked: null, drawnFor: [] };
    line.root.dataset.series = one.id;
    line.ask = latest(
      ({ from, to }) => askChart({ series: one.id, from_us: from, to_us: Math.min(to, nowUs()), points: POINTS }),
      (answer) => {
        line.data = known(answer);
        change();
      },
      () => (line.asked = null),
    );
    lines.set(one.id, line);
  }
  return lines.get(one.id);
}

export function drawLines(times) {
  for (const line of lines.values()) {
    refresh(line, false);
    draw(line, times);
    renderValue(line);
  }
}

export function refreshLines() {
  for (const line of lines.values()) refresh(line, true);
}

function refresh(line, always) {
  const { span } = timeline, { asked } = line;
  const inside = asked && holds(asked, span.from) && holds(asked, span.to) && widthOf(asked) < 5 * widthOf(span);
  if (inside && !always) return;
  const beside = BESIDE * widthOf(span);
  line.asked = { from: Math.max(0, span.from - beside), to: span.to + beside };
  line.ask(line.asked);
}

function draw(line, times) {
  const { plot } = line.parts;
  const what = [timeline.span, line.data, plot.clientWidth, plot.clientHeight];
  if (what.every((one, index) => one === line.drawnFor[index])) return;
  line.drawnFor = what;
  const { partOf, values } = drawPlot(plot, line.data, timeline.span, times, 1e-3);
  writeTicks(line.parts["line-ticks"], values.map(({ value, words }) => ({ words, part: partOf(value) })));
}

function renderValue({ one, parts, data }) {
  const point = pointAt(data, timeline.at);
  setText(parts["line-name"], seriesName(one));
  setText(parts["line-value"], point ? `${figure(point.mean, one.unit)} ${one.unit}` : "–");
  const several = point && point.min !== point.max;
  setText(parts["line-spread"], several ? `${figure(point.min, one.unit)} to ${figure(point.max, one.unit)}` : "");
  const { span } = timeline;
  const words = { series: one.id, width: Math.round(widthOf(span) / 1e6), to: Math.round(span.to) };
  parts["line-name"].href = address("chart", words);
}
