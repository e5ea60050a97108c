// The history: pictures of one moment, the quantities' lines and the cameras' lanes over one time, with one cursor.

import { nowUs } from "./api.js";
import { cut, drawCut } from "./cut.js";
import { byId, isForOthers, setData, setText } from "./dom.js";
import { timesFor, writeTimes } from "./drawing.js";
import { cameras, newestEnd, nextBegin, onFootage, refreshFootage, takeCameras } from "./footage.js";
import { dragAlong, listenTo, percent } from "./gestures.js";
import { renderJump } from "./jump.js";
import { drawLanes } from "./lanes.js";
import { drawLines, refreshLines, syncLines } from "./lines.js";
import { choose, chosenCamera, stepBack, stepOn, sync } from "./moments.js";
import { pause, toggle } from "./play.js";
import { onSeries, refreshSeries, series } from "./series.js";
import { DAY, HOUR, MINUTE, SECOND, around, moved, upToNow, widthOf, zoomed } from "./span.js";
import { change, look, moveTo, onTimeline, timeline } from "./timeline.js";
import { addView, isShown, keepAddress } from "./view.js";
import { wall } from "./wall.js";
import { moment } from "./words.js";

const SHORT = 10 * MINUTE;
const WIDTHS = { "10 min": SHORT, "1 h": HOUR, "6 h": 6 * HOUR, "1 day": DAY, "1 week": 7 * DAY };
const REFRESH_MS = 5_000, LOOK_MS = 1_000, KEEP_MS = 400;
const A_JUMP = 10 * SECOND, A_PAN = 1 / 4;

let toNewest = true; // where to go when it is known what there is
let keeping = 0;

export function listen() {
  for (const [words, width] of Object.entries(WIDTHS)) byId("widths").append(widthButton(words, width));
  const shown = { span: () => timeline.span, look };
  listenTo(byId("history-area"), {
    ...shown, point: moveTo, zooms: () => !scrolls(),
    marks: (event) => event.shiftKey, mark: (from, to) => cut(from, to),
  });
  dragAlong(byId("history-times"), shown);
  for (const [id, act] of Object.entries(BUTTONS)) byId(id).addEventListener("click", act);
  document.addEventListener("keydown", onKey);
  new ResizeObserver(change).observe(byId("history-area"));
  onTimeline(render);
  onFootage(takeFootage);
  onSeries(syncLines);
  setInterval(refresh, REFRESH_MS);
  setInterval(lookAgain, LOOK_MS);
  addView("history", { enter, leave: pause });
}

/** With many lanes the wheel is for getting to them. */
function scrolls() {
  const box = byId("history-box");
  return box.scrollHeight > box.clientHeight || document.documentElement.scrollHeight > innerHeight;
}

function enter({ at, width, camera }) {
  takeCameras();
  refreshSeries();
  if (camera) choose(camera);
  const wide = Number(width) * SECOND || widthOf(timeline.span);
  if (Number(at)) {
    toNewest = false;
    look(around(Number(at), wide));
    moveTo(Number(at));
  } else if (toNewest) {
    look(upToNow(wide));
  }
  refreshFootage(true);
  change();
}

function widthButton(words, width) {
  const button = document.createElement("button");
  button.type = "button";
  button.dataset.width = width;
  setText(button, words);
  button.addEventListener("click", () => look(around(timeline.at, width)));
  return button;
}

const BUTTONS = {
  "step-back": () => rest(stepBack),
  "step-on": () => rest(stepOn),
  "history-earlier": () => look(moved(timeline.span, -A_PAN * widthOf(timeline.span))),
  "history-later": () => look(moved(timeline.span, A_PAN * widthOf(timeline.span))),
  "history-wider": () => look(zoomed(timeline.span, timeline.at, 2)),
  "history-closer": () => look(zoomed(timeline.span, timeline.at, 1 / 2)),
  "history-now": goToNow,
};

const KEYS = {
  ArrowLeft: BUTTONS["step-back"], ArrowRight: BUTTONS["step-on"], " ": toggle,
  PageUp: BUTTONS["history-earlier"], PageDown: BUTTONS["history-later"],
  "-": BUTTONS["history-wider"], "+": BUTTONS["history-closer"],
  "[": () => byId("cut-begin").click(), "]": () => byId("cut-end").click(),
  Escape: () => (chosenCamera() ? choose(null) : cut(null, null)),
};

function onKey(event) {
  if (!isShown("history") || isForOthers(event)) return;
  const { key, shiftKey, target } = event;
  if (key === " " && target.matches("button, a")) return; // which it presses
  if (shiftKey && key === "ArrowLeft") moveTo(timeline.at - A_JUMP);
  else if (shiftKey && key === "ArrowRight") moveTo(timeline.at + A_JUMP);
  else if (key in KEYS) KEYS[key]();
  else return;
  event.preventDefault();
  change();
}

function rest(step) {
  pause();
  step();
}

function goToNow() {
  pause();
  toNewest = true;
  look(upToNow(widthOf(timeline.span)));
  refreshFootage(true);
}

function takeFootage() {
  if (!toNewest) return;
  toNewest = false;
  const all = [...cameras.values()];
  const begin = nextBegin(all, -Infinity), end = newestEnd(all);
  // What has just begun would be a sliver of an hour.
  if (begin < Infinity && nowUs() - begin < SHORT && widthOf(timeline.span) > SHORT) look(upToNow(SHORT));
  moveTo(nowUs() - end < widthOf(timeline.span) ? end : nowUs());
}

/** What the wall told meanwhile. */
function lookAgain() {
  if (!isShown("history") || document.hidden) return;
  takeCameras();
  change();
}

/** What is shown may still grow: frames can be late. */
const isRecent = () => timeline.span.to > nowUs() - MINUTE;

function refresh() {
  if (!isShown("history") || document.hidden || !isRecent()) return;
  refreshFootage(true);
  refreshLines();
}

// ---- what is shown ----

function render() {
  const { span, at } = timeline, area = byId("history-area");
  const times = timesFor(span, area.clientWidth);
  refreshFootage(false);
  renderNothing();
  if (!byId("moments").hidden) sync();
  drawLines(times);
  drawLanes();
  drawCut();
  writeTimes(byId("history-times"), span, times);
  const place = percent(span, at);
  setData(area, "cursor", place !== null);
  if (place !== null) area.style.setProperty("--x", place);
  for (const [name, us] of [["min", span.from], ["max", span.to], ["now", at]]) {
    area.setAttribute(`aria-value${name}`, (us / SECOND).toFixed(3));
  }
  area.setAttribute("aria-valuetext", moment(at));
  renderJump();
  renderWidths();
  keepLater();
}

function renderWidths() {
  for (const button of byId("widths").children) {
    button.setAttribute("aria-pressed", Math.abs(widthOf(timeline.span) / button.dataset.width - 1) < 0.01);
  }
}

/** What is missing, and what to do about it. */
function renderNothing() {
  const off = wall.recorder?.on === false;
  const none = isNothing();
  setText(byId("no-footage"), off ? "Nothing is recorded: [record] in the receiver's file turns it on."
    : none ? "Nothing was recorded in this time." : "");
  const unkept = wall.history?.on === false;
  setText(byId("no-lines"), unkept ? "No readings are kept: [history] in the receiver's file says where."
    : series.length === 0 ? "No readings are kept yet." : "");
  for (const id of ["moments", "lanes", "player", "range"]) byId(id).hidden = off && none;
  for (const id of ["history-bar", "history-box"]) byId(id).hidden = off && none && series.length === 0;
}

const isNothing = () => [...cameras.values()].every(({ spans }) => spans.length === 0);

/** The address follows when the cursor has come to rest. */
function keepLater() {
  clearTimeout(keeping);
  keeping = setTimeout(() => keepAddress("history", {
    at: Math.round(timeline.at), width: Math.round(widthOf(timeline.span) / SECOND), camera: chosenCamera(),
  }), KEEP_MS);
}
