// @ts-check
// The history view: pictures, charts and footage tracks of one span of time, with one cursor.

import { timesFor, writeTimes } from "../charts/drawing.js";
import { onSeries, refreshSeries, series } from "../charts/series.js";
import { asKind, byId, closest, isHandledElsewhere, makeButton, setData, setPressed, setText } from "../shared/dom.js";
import { dateTime } from "../shared/format.js";
import { addAxisGestures, addGestures } from "../shared/gestures.js";
import { nowUs } from "../shared/receiver_clock.js";
import {
  DAY, HOUR, MINUTE, SECOND, around, hasWidth, moved, percentAt, upToNow, widthOf, zoomed,
} from "../shared/time_span.js";
import { addView, isShown, replaceAddress } from "../shared/views.js";
import { wall } from "../shared/wall.js";
import { addWallCameras, cameras, onFootage, refreshFootage } from "./footage.js";
import { drawTracks } from "./footage_tracks.js";
import { renderJumpForm } from "./jump_form.js";
import { chooseCamera, chosenCamera, stepBack, stepForward, syncMoments } from "./moments.js";
import { pause, togglePlayback } from "./playback.js";
import { newestEnd, nextStart } from "./recorded_spans.js";
import { clearSelection, drawSelection, select, selectEnd, selectStart } from "./selection.js";
import { drawCharts, refreshCharts, syncCharts } from "./series_charts.js";
import { moveTo, onTimeline, showSpan, timeline, timelineChanged } from "./timeline.js";

const SHORT = 10 * MINUTE;
const WIDTHS = { "10 min": SHORT, "1 h": HOUR, "6 h": 6 * HOUR, "1 day": DAY, "1 week": 7 * DAY };
const REFRESH_INTERVAL_MS = 5_000, SYNC_INTERVAL_MS = 1_000, ADDRESS_DELAY_MS = 400;
const CONFIGURATION = "the receiver's configuration file";
const JUMP = 10 * SECOND, PAN_STEP = 1 / 4; // of the width

let goesToNewest = true; // once the footage is known
/** @type {ReturnType<typeof setTimeout> | undefined} */
let addressTimer;

export function listen() {
  for (const [text, width] of Object.entries(WIDTHS)) byId("widths").append(widthButton(text, width));
  const shown = { span: () => timeline.span, show: showSpan };
  addGestures(byId("history-area"), {
    ...shown, point: moveTo, zooms: () => !canScroll(),
    marks: (event) => event.shiftKey, mark: (from, to) => select(from, to),
  });
  addAxisGestures(byId("history-times"), shown);
  for (const [id, action] of Object.entries(BUTTONS)) byId(id).addEventListener("click", action);
  document.addEventListener("keydown", onKey);
  new ResizeObserver(timelineChanged).observe(byId("history-area"));
  onTimeline(render);
  onFootage(goToNewest);
  onSeries(syncCharts);
  setInterval(refresh, REFRESH_INTERVAL_MS);
  setInterval(syncWithWall, SYNC_INTERVAL_MS);
  addView("history", { enter, leave: pause });
}

/** Whether there are so many tracks that the wheel has to scroll instead of zoom. */
function canScroll() {
  const box = byId("history-box");
  return box.scrollHeight > box.clientHeight || document.documentElement.scrollHeight > innerHeight;
}

/** @param {Record<string, string>} parameters */
function enter({ at, width, camera }) {
  addWallCameras();
  refreshSeries();
  if (camera) chooseCamera(camera);
  const widthUs = Number(width) * SECOND || widthOf(timeline.span);
  if (Number(at)) {
    goesToNewest = false;
    showSpan(around(Number(at), widthUs));
    moveTo(Number(at));
  } else if (goesToNewest) {
    showSpan(upToNow(widthUs));
  }
  refreshFootage(true);
  timelineChanged();
}

/** @param {string} text @param {number} width */
function widthButton(text, width) {
  const button = makeButton(text);
  button.dataset.width = String(width);
  button.addEventListener("click", () => showSpan(around(timeline.at, width)));
  return button;
}

/** @param {number} parts of the width */
const pan = (parts) => showSpan(moved(timeline.span, parts * widthOf(timeline.span)));

/** @param {number} factor */
const zoom = (factor) => showSpan(zoomed(timeline.span, timeline.at, factor));

/** @type {Record<string, () => void>} */
const BUTTONS = {
  "step-back": () => pauseAnd(stepBack),
  "step-forward": () => pauseAnd(stepForward),
  "history-earlier": () => pan(-PAN_STEP),
  "history-later": () => pan(PAN_STEP),
  "history-wider": () => zoom(2),
  "history-closer": () => zoom(1 / 2),
  "history-now": goToNow,
};

/** @type {Record<string, () => void>} */
const KEYS = {
  ArrowLeft: BUTTONS["step-back"], ArrowRight: BUTTONS["step-forward"], " ": togglePlayback,
  PageUp: BUTTONS["history-earlier"], PageDown: BUTTONS["history-later"],
  "-": BUTTONS["history-wider"], "+": BUTTONS["history-closer"],
  "[": selectStart, "]": selectEnd,
  Escape: () => (chosenCamera() ? chooseCamera(null) : clearSelection()),
};

/** @param {KeyboardEvent} event */
function onKey(event) {
  if (!isShown("history") || isHandledElsewhere(event)) return;
  const { key, shiftKey } = event;
  if (key === " " && closest(event, "button, a") !== null) return; // the space presses it
  if (shiftKey && key === "ArrowLeft") moveTo(timeline.at - JUMP);
  else if (shiftKey && key === "ArrowRight") moveTo(timeline.at + JUMP);
  else if (key in KEYS) KEYS[key]();
  else return;
  event.preventDefault();
  timelineChanged();
}

/** @param {() => void} step */
function pauseAnd(step) {
  pause();
  step();
}

function goToNow() {
  pause();
  goesToNewest = true;
  showSpan(upToNow(widthOf(timeline.span)));
  refreshFootage(true);
}

function goToNewest() {
  if (!goesToNewest) return;
  goesToNewest = false;
  const all = [...cameras.values()];
  const start = nextStart(all, -Infinity), end = newestEnd(all);
  // A recording that has just started would be a sliver of an hour.
  if (start < Infinity && nowUs() - start < SHORT && widthOf(timeline.span) > SHORT) showSpan(upToNow(SHORT));
  moveTo(nowUs() - end < widthOf(timeline.span) ? end : nowUs());
}

/** Adds cameras that the wall has learned of since. */
function syncWithWall() {
  if (!isShown("history") || document.hidden) return;
  addWallCameras();
  timelineChanged();
}

/** Whether the shown span may still grow: frames can arrive late. */
const isRecent = () => timeline.span.to > nowUs() - MINUTE;

function refresh() {
  if (!isShown("history") || document.hidden || !isRecent()) return;
  refreshFootage(true);
  refreshCharts();
}

// ---- what is shown ----

function render() {
  const { span } = timeline;
  const times = timesFor(span, byId("history-area").clientWidth);
  refreshFootage(false);
  renderNotes();
  if (!byId("moments").hidden) syncMoments();
  drawCharts(times);
  drawTracks();
  drawSelection();
  writeTimes(byId("history-times"), span, times);
  renderCursor();
  renderJumpForm();
  for (const button of byId("widths").children) {
    setPressed(button, hasWidth(span, Number(asKind(button, HTMLElement).dataset.width)));
  }
  updateAddressLater();
}

function renderCursor() {
  const { span, at } = timeline, area = byId("history-area");
  const percent = percentAt(span, at);
  setData(area, "cursor", percent !== null);
  if (percent !== null) area.style.setProperty("--x", percent);
  for (const [name, us] of Object.entries({ min: span.from, max: span.to, now: at })) {
    area.setAttribute(`aria-value${name}`, (us / SECOND).toFixed(3));
  }
  area.setAttribute("aria-valuetext", dateTime(at));
}

/** Explains missing footage and readings, and how to enable them. */
function renderNotes() {
  const off = wall.recorder?.on === false;
  const isEmpty = [...cameras.values()].every(({ spans }) => spans.length === 0);
  setText(byId("no-footage"), off ? `Nothing is recorded. To record, add [record] to ${CONFIGURATION}.`
    : isEmpty ? "Nothing was recorded in this time." : "");
  setText(byId("no-series"),
    wall.history?.on === false ? `No readings are stored. To store them, set [history] in ${CONFIGURATION}.`
    : series.length === 0 ? "No readings are stored yet." : "");
  for (const id of ["moments", "tracks", "player", "range"]) byId(id).hidden = off && isEmpty;
  for (const id of ["history-bar", "history-box"]) byId(id).hidden = off && isEmpty && series.length === 0;
}

/** Updates the address when the cursor has come to rest. */
function updateAddressLater() {
  clearTimeout(addressTimer);
  addressTimer = setTimeout(() => {
    const width = Math.round(widthOf(timeline.span) / SECOND);
    replaceAddress("history", { at: Math.round(timeline.at), width, camera: chosenCamera() });
  }, ADDRESS_DELAY_MS);
}
