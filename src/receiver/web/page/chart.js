// One quantity, large: over an hour or over months, with the values under the cursor.

import { askChart, nowUs, readingsAs } from "./api.js";
import { byId, isForOthers, setData, setHref, setText } from "./dom.js";
import { drawPlot, known, lastIn, noneKnown, pointAt, timesFor, writeTicks, writeTimes } from "./drawing.js";
import { dragAlong, listenTo, percent } from "./gestures.js";
import { latest } from "./latest.js";
import { onSeries, refreshSeries, series, seriesName, seriesWith } from "./series.js";
import { DAY, HOUR, around, follows, holds, moved, upToNow, usAt, widthOf, within, zoomed } from "./span.js";
import { addView, address, go, isShown, keepAddress } from "./view.js";
import { figure, length, moment } from "./words.js";

const RANGES = {
  "1 h": HOUR, "6 h": 6 * HOUR, "1 day": DAY, "1 week": 7 * DAY,
  "1 month": 30 * DAY, "3 months": 91 * DAY, "1 year": 365 * DAY,
};
const POINTS = 1200; // twice what is shown, so that there is something to be dragged in
const BESIDE = 0.5; // of the width, on either side
const REFRESH_MS = 5_000;
const A_STEP = 1 / 200, A_PAN = 1 / 4; // of the width

const seconds = (us) => Math.round(us / 1e6);
const node = (name) => byId(`chart-${name}`);

let id = null; // the series
let span = upToNow(DAY);
let following = true; // now: kept, because a tab that sleeps falls behind it
let data = noneKnown();
let cursor = null; // in microseconds, or null
let pinned = null; // where the cursor stays when the pointer goes
let marked = null; // while a range is dragged
let drawing = 0; // the frame in which it will be drawn

export function listen() {
  for (const [words, width] of Object.entries(RANGES)) node("ranges").append(button(words, width));
  node("series").addEventListener("change", ({ target }) =>
    go("chart", { series: target.value, width: seconds(widthOf(span)) }));
  listenTo(node("area"), {
    span: () => span, look, point, pin,
    hover: (us) => pinned === null && point(us),
    leave: () => point(pinned),
    marks: (event) => event.pointerType !== "touch",
    mark: (from, to, ended) => {
      marked = ended ? null : { from, to };
      if (ended) look({ from, to });
      else draw();
    },
  });
  dragAlong(node("times"), { span: () => span, look });
  node("area").addEventListener("keydown", onKey);
  for (const [name, change] of Object.entries(CHANGES)) node(name).addEventListener("click", () => look(change()));
  new ResizeObserver(draw).observe(node("area"));
  setInterval(refresh, REFRESH_MS);
  onSeries(listSeries);
  addView("chart", { enter });
}

function enter({ series: wanted, width, to }) {
  if (wanted !== id) data = noneKnown();
  id = wanted ?? null;
  cursor = pinned = null;
  refreshSeries();
  listSeries();
  const wide = Number(width) * 1e6 || DAY;
  look(Number(to) ? within({ from: Number(to) - wide, to: Number(to) }) : upToNow(wide));
}

function button(words, width) {
  const made = document.createElement("button");
  made.type = "button";
  made.dataset.width = width;
  setText(made, words);
  // From where one looks into the past, a range stays there.
  made.addEventListener("click", () => look(following ? upToNow(width) : around((span.from + span.to) / 2, width)));
  return made;
}

function listSeries() {
  const list = node("series");
  list.replaceChildren(...series.map((one) => new Option(seriesName(one), one.id, false, String(one.id) === id)));
  draw();
}

// ---- what is shown ----

const CHANGES = {
  earlier: () => moved(span, -A_PAN * widthOf(span)),
  later: () => moved(span, A_PAN * widthOf(span)),
  closer: () => zoomed(span, cursor ?? (span.from + span.to) / 2, 1 / 2),
  wider: () => zoomed(span, cursor ?? (span.from + span.to) / 2, 2),
  now: () => upToNow(widthOf(span)),
};

function look(wanted) {
  span = within(wanted);
  following = follows(span);
  if (cursor !== null && !holds(span, cursor)) cursor = null;
  if (pinned !== null && !holds(span, pinned)) pinned = null;
  ask({ id, span });
  draw();
  keepAddress("chart", { series: id, width: seconds(widthOf(span)), to: following ? null : Math.round(span.to) });
}

const ask = latest(
  ({ id, span }) => {
    const beside = BESIDE * widthOf(span);
    const [from, to] = [span.from - beside, Math.min(nowUs(), span.to + beside)];
    return askChart({ series: id, from_us: Math.max(0, from), to_us: to, points: POINTS });
  },
  (answer, want) => {
    if (want.id !== id) return;
    data = known(answer);
    setText(node("trouble"), "");
    draw();
  },
  (error) => setText(node("trouble"), error.message),
);

function refresh() {
  if (!isShown("chart") || document.hidden) return;
  if (following && !marked) look(upToNow(widthOf(span)));
}

function point(us) {
  cursor = us;
  draw();
}

/** Has the cursor stay; where it is pinned already, it is let go. */
function pin(us) {
  const again = pinned !== null && Math.abs(us - pinned) < 2 * A_STEP * widthOf(span);
  pinned = again ? null : us;
  point(us);
}

function onKey(event) {
  if (isForOthers(event)) return;
  const width = widthOf(span), from = cursor ?? span.to, step = width * A_STEP * (event.shiftKey ? 10 : 1);
  const steps = { ArrowLeft: -step, ArrowRight: step, Home: span.from - from, End: span.to - from };
  if (event.key in steps) point((pinned = Math.min(span.to, Math.max(span.from, from + steps[event.key]))));
  else if (event.key === "Escape") point((pinned = null));
  else if (event.key === "PageUp") look(CHANGES.earlier());
  else if (event.key === "PageDown") look(CHANGES.later());
  else if (event.key === "+") look(CHANGES.closer());
  else if (event.key === "-") look(CHANGES.wider());
  else return;
  event.preventDefault();
}

// ---- how it is drawn ----

function draw() {
  drawing ||= requestAnimationFrame(() => {
    drawing = 0;
    if (isShown("chart")) render();
  });
}

let drawnFor = []; // what the lines were drawn of: moving the cursor alone draws none
let partOf = () => 0;

function render() {
  const { clientWidth: width, clientHeight: height } = node("area");
  const what = [span, data, width, height];
  if (what.some((one, index) => one !== drawnFor[index])) {
    drawnFor = what;
    const times = timesFor(span, width);
    const drawn = drawPlot(node("plot"), data, span, times, 1e-3);
    partOf = drawn.partOf;
    writeTimes(node("times"), span, times);
    writeTicks(node("values"), drawn.values.map(({ value, words }) => ({ words, part: partOf(value) })));
    renderLinks();
  }
  renderCursor();
}

function renderLinks() {
  const words = { series: id, from_us: span.from, to_us: Math.min(span.to, nowUs()) };
  for (const format of ["csv", "json"]) setHref(node(format), readingsAs(format, words));
  for (const { dataset } of node("ranges").children) {
    const pressed = Math.abs(widthOf(span) / dataset.width - 1) < 0.01;
    node("ranges").querySelector(`[data-width="${dataset.width}"]`).setAttribute("aria-pressed", pressed);
  }
  node("now").disabled = following;
  node("nothing").hidden = data.points.some(([us]) => us + data.stepUs >= span.from && us <= span.to);
}

function renderCursor() {
  const one = seriesWith(id), unit = one?.unit ?? "";
  const found = cursor === null ? null : pointAt(data, cursor);
  const shown = cursor === null ? lastIn(data, span) : found;
  const several = shown && shown.min !== shown.max;
  setText(node("value"), shown ? figure(shown.mean, unit) : "–");
  setText(node("unit"), unit);
  setText(node("spread"), several ? `mean, min ${figure(shown.min, unit)}, max ${figure(shown.max, unit)}` : "");
  setText(node("moment"), cursor !== null ? moment(found?.us ?? cursor) : shown ? `${whichOne()}, ${moment(shown.us)}` : "");
  const place = cursor === null ? null : percent(span, found?.us ?? cursor);
  setData(node("area"), "cursor", place !== null);
  setData(node("area"), "found", found !== null);
  if (place !== null) node("area").style.setProperty("--x", place);
  if (found) node("area").style.setProperty("--y", `${(partOf(found.mean) * 100).toFixed(2)}%`);
  const at = cursor ?? usAt(span, 0.5);
  setHref(node("footage"), address("history", { at: Math.round(at), width: seconds(Math.min(widthOf(span), DAY)) }));
  setText(node("footage"), cursor === null ? "See the footage of this time" : "See the footage of this moment");
  for (const [name, us] of [["min", span.from], ["max", span.to], ["now", at]]) {
    node("area").setAttribute(`aria-value${name}`, (us / 1e6).toFixed(3));
  }
  node("area").setAttribute("aria-valuetext", `${node("moment").textContent}: ${node("value").textContent} ${unit}`);
  renderMarked();
}

/** What the value is of when nothing is pointed at: over long times there are none but means. */
function whichOne() {
  const which = following ? "newest" : "last";
  return data.stepUs > 0 ? `mean of the ${which} ${length(data.stepUs / 1000)}` : which;
}

function renderMarked() {
  setData(node("area"), "marked", marked !== null);
  if (!marked) return;
  node("area").style.setProperty("--from", percent(span, marked.from) ?? "0%");
  node("area").style.setProperty("--to", percent(span, marked.to) ?? "100%");
}
