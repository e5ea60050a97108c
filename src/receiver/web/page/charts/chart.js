// @ts-check
/** @import { ChartValue, TimeSpan } from "../../types.js" */

// The chart view: one quantity over any span of time, with the value at the cursor.

import { fetchChart, readingsExportUrl } from "../shared/api.js";
import { asKind, byId, isHandledElsewhere, makeButton, setData, setHref, setPressed, setText } from "../shared/dom.js";
import { dateTime, roundDuration, valueText } from "../shared/format.js";
import { addAxisGestures, addGestures } from "../shared/gestures.js";
import { latestRequest } from "../shared/latest_request.js";
import { nowUs } from "../shared/receiver_clock.js";
import {
  DAY, HOUR, around, contains, followsNow, hasWidth, limited, middleOf, moved, padded, percentAt, upToNow, widthOf,
  zoomed,
} from "../shared/time_span.js";
import { addView, isShown, openView, replaceAddress, viewAddress } from "../shared/views.js";
import { chartData, isGap, lastValueIn, noData, pointsIn, valueAt } from "./chart_data.js";
import { drawPlot, timesFor, writeLabels, writeTimes } from "./drawing.js";
import { needSeries, onSeries, refreshSeries, series, seriesName, seriesWithId } from "./series.js";

const WIDTHS = {
  "1 h": HOUR, "6 h": 6 * HOUR, "1 day": DAY, "1 week": 7 * DAY,
  "1 month": 30 * DAY, "3 months": 91 * DAY, "1 year": 365 * DAY,
};
const POINTS = 1200; // for twice the visible span
const PADDING = 0.5; // of the width, requested on either side so that there is something to drag into view
const REFRESH_INTERVAL_MS = 5_000;
const KEY_STEP = 1 / 200, SHIFT_FACTOR = 10, PAN_STEP = 1 / 4; // of the width

/** @param {number} us */
const seconds = (us) => Math.round(us / 1e6);
/** @param {string} name */
const node = (name) => byId(`chart-${name}`);

/** @type {string | null} */
let seriesId = null;
let span = upToNow(DAY);
let isFollowing = true; // now: kept apart from the span, which falls behind in a sleeping tab
let data = noData();
/** @type {number | null} */
let cursor = null; // in microseconds
/** @type {number | null} */
let pinned = null; // where the cursor returns to when the pointer leaves
/** @type {TimeSpan | null} */
let marked = null; // while a range is dragged
let drawRequest = 0;

export function listen() {
  for (const [text, width] of Object.entries(WIDTHS)) node("ranges").append(widthButton(text, width));
  node("series").addEventListener("change", () => {
    openView("chart", { series: byId("chart-series", HTMLSelectElement).value, width: seconds(widthOf(span)) });
  });
  addGestures(node("area"), {
    span: () => span, show, point: moveCursor, pin,
    hover: (us) => {
      if (pinned === null) moveCursor(us);
    },
    leave: () => moveCursor(pinned),
    marks: (event) => event.pointerType !== "touch",
    mark: (from, to, isDone) => {
      marked = isDone ? null : { from, to };
      if (isDone) show({ from, to });
      else draw();
    },
  });
  addAxisGestures(node("times"), { span: () => span, show });
  node("area").addEventListener("keydown", onKey);
  for (const [name, change] of Object.entries(CHANGES)) node(name).addEventListener("click", () => show(change()));
  new ResizeObserver(draw).observe(node("area"));
  setInterval(refresh, REFRESH_INTERVAL_MS);
  onSeries(listSeries);
  addView("chart", { enter });
}

/** @param {Record<string, string>} parameters */
function enter({ series: wanted, width, to }) {
  if (wanted !== seriesId) data = noData();
  seriesId = wanted ?? null;
  cursor = pinned = null;
  refreshSeries();
  needSeries(seriesId);
  listSeries();
  const widthUs = Number(width) * 1e6 || DAY;
  show(Number(to) ? limited({ from: Number(to) - widthUs, to: Number(to) }) : upToNow(widthUs));
}

/** @param {string} text @param {number} width */
function widthButton(text, width) {
  const button = makeButton(text);
  button.dataset.width = String(width);
  // A span of the past keeps its middle.
  button.addEventListener("click", () => show(isFollowing ? upToNow(width) : around(middleOf(span), width)));
  return button;
}

function listSeries() {
  const options = series.map((one) => new Option(seriesName(one), String(one.id), false, String(one.id) === seriesId));
  node("series").replaceChildren(...options);
  draw();
}

// ---- what is shown ----

const CHANGES = {
  earlier: () => moved(span, -PAN_STEP * widthOf(span)),
  later: () => moved(span, PAN_STEP * widthOf(span)),
  closer: () => zoomed(span, cursor ?? middleOf(span), 1 / 2),
  wider: () => zoomed(span, cursor ?? middleOf(span), 2),
  now: () => upToNow(widthOf(span)),
};

/** @param {TimeSpan} wanted */
function show(wanted) {
  span = limited(wanted);
  isFollowing = followsNow(span);
  if (cursor !== null && !contains(span, cursor)) cursor = null;
  if (pinned !== null && !contains(span, pinned)) pinned = null;
  request({ id: seriesId, span });
  draw();
  const to = isFollowing ? null : Math.round(span.to);
  replaceAddress("chart", { series: seriesId, width: seconds(widthOf(span)), to });
}

const request = latestRequest(
  /** @param {{ id: string | null, span: TimeSpan }} wanted */
  ({ id, span }) => {
    const { from, to } = padded(span, PADDING);
    return fetchChart({ series: String(id), from_us: from, to_us: Math.min(nowUs(), to), points: POINTS });
  },
  (answer, { id }) => {
    if (id !== seriesId) return;
    data = chartData(answer);
    setText(node("error"), "");
    draw();
  },
  (error) => setText(node("error"), error.message),
);

function refresh() {
  if (!isShown("chart") || document.hidden) return;
  if (isFollowing && !marked) show(upToNow(widthOf(span)));
}

/** @param {number | null} us */
function moveCursor(us) {
  cursor = us;
  draw();
}

/**
 * Pins the cursor; unpins it if it is already pinned there.
 * @param {number} us
 */
function pin(us) {
  const isSamePlace = pinned !== null && Math.abs(us - pinned) < 2 * KEY_STEP * widthOf(span);
  pinned = isSamePlace ? null : us;
  moveCursor(us);
}

/** @param {KeyboardEvent} event */
function onKey(event) {
  if (isHandledElsewhere(event)) return;
  const from = cursor ?? span.to, step = widthOf(span) * KEY_STEP * (event.shiftKey ? SHIFT_FACTOR : 1);
  /** @type {Record<string, number>} */
  const targets = { ArrowLeft: from - step, ArrowRight: from + step, Home: span.from, End: span.to };
  if (event.key in targets) pinCursor(Math.min(span.to, Math.max(span.from, targets[event.key])));
  else if (event.key === "Escape") pinCursor(null);
  else if (event.key === "PageUp") show(CHANGES.earlier());
  else if (event.key === "PageDown") show(CHANGES.later());
  else if (event.key === "+") show(CHANGES.closer());
  else if (event.key === "-") show(CHANGES.wider());
  else return;
  event.preventDefault();
}

/** @param {number | null} us */
function pinCursor(us) {
  pinned = us;
  moveCursor(us);
}

// ---- how it is drawn ----

function draw() {
  drawRequest ||= requestAnimationFrame(() => {
    drawRequest = 0;
    if (isShown("chart")) render();
  });
}

/** @type {unknown[]} */
let drawnFor = []; // the inputs of the last drawing: moving the cursor alone does not redraw the lines
/** @type {(value: number) => number} */
let partOf = () => 0;

function render() {
  const { clientWidth: width, clientHeight: height } = node("area");
  const inputs = [span, data, width, height];
  if (inputs.some((one, index) => one !== drawnFor[index])) {
    drawnFor = inputs;
    const times = timesFor(span, width);
    const drawn = drawPlot(byId("chart-plot", SVGSVGElement), data, span, times);
    partOf = drawn.partOf;
    writeTimes(node("times"), span, times);
    writeLabels(node("values"), drawn.values);
    renderLinks();
  }
  renderCursor();
}

function renderLinks() {
  const query = { series: String(seriesId), from_us: span.from, to_us: Math.min(span.to, nowUs()) };
  setHref(node("csv"), readingsExportUrl("csv", query));
  setHref(node("json"), readingsExportUrl("json", query));
  for (const button of node("ranges").children) {
    setPressed(button, hasWidth(span, Number(asKind(button, HTMLElement).dataset.width)));
  }
  byId("chart-now", HTMLButtonElement).disabled = isFollowing;
  node("nothing").hidden = pointsIn(data, span).length > 0;
}

function renderCursor() {
  const unit = seriesWithId(seriesId)?.unit ?? "";
  const found = cursor === null ? null : valueAt(data, cursor);
  const us = cursor === null ? null : found?.us ?? cursor;
  renderValue(cursor === null ? lastValueIn(data, span) : found, us, unit);
  const area = node("area"), percent = us === null ? null : percentAt(span, us);
  setData(area, "cursor", percent !== null);
  setData(area, "found", found !== null);
  if (percent !== null) area.style.setProperty("--x", percent);
  if (found) area.style.setProperty("--y", `${(partOf(found.mean) * 100).toFixed(2)}%`);
  renderFootageLink();
  for (const [name, us] of Object.entries({ min: span.from, max: span.to, now: cursor ?? middleOf(span) })) {
    area.setAttribute(`aria-value${name}`, (us / 1e6).toFixed(3));
  }
  const value = found || cursor === null ? `${node("value").textContent} ${unit}` : node("spread").textContent;
  area.setAttribute("aria-valuetext", `${node("moment").textContent}: ${value}`);
  renderMarked();
}

/**
 * Shows a value, and the time of the cursor; without a cursor, the time of the value.
 * @param {ChartValue | null} value @param {number | null} cursorUs @param {string} unit
 */
function renderValue(value, cursorUs, unit) {
  const hasRange = value !== null && value.min !== value.max;
  setText(node("value"), value ? valueText(value.mean, unit) : "–");
  setText(node("unit"), value ? unit : "");
  const range = hasRange ? `mean, min ${valueText(value.min, unit)}, max ${valueText(value.max, unit)}` : "";
  setText(node("spread"), cursorUs !== null && isGap(data, cursorUs) ? "no reading" : range);
  const time = value ? `${lastValueName()}, ${dateTime(value.us)}` : "";
  setText(node("moment"), cursorUs === null ? time : dateTime(cursorUs));
}

/** Names the value that is shown without a cursor: over long times it is a mean. */
function lastValueName() {
  const name = isFollowing ? "newest" : "last";
  return data.stepUs > 0 ? `mean of the ${name} ${roundDuration(data.stepUs / 1000)}` : name;
}

function renderFootageLink() {
  const at = Math.round(cursor ?? middleOf(span)), width = seconds(Math.min(widthOf(span), DAY));
  setHref(node("footage"), viewAddress("history", { at, width }));
  setText(node("footage"), cursor === null ? "See the footage of this time" : "See the footage of this moment");
}

function renderMarked() {
  const area = node("area");
  setData(area, "marked", marked !== null);
  if (!marked) return;
  area.style.setProperty("--from", percentAt(span, marked.from) ?? "0%");
  area.style.setProperty("--to", percentAt(span, marked.to) ?? "100%");
}
