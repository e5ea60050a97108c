// @ts-check
/** @import { PageTime } from "../../types.js" */

// Plays recordings: the cursor moves with the clock, and the pictures follow as fast as they load.

import { asKind, byId, closest, setData, setPressed } from "../shared/dom.js";
import { nowUs } from "../shared/receiver_clock.js";
import { isShown } from "../shared/views.js";
import { cameras, isGap } from "./footage.js";
import { chosenCamera } from "./moments.js";
import { newestEnd, nextStart } from "./recorded_spans.js";
import { playTo, timeline } from "./timeline.js";

let speed = 1;
/** @type {{ us: number, at: PageTime } | null} */
let start = null; // where the cursor was, and when; null while paused
let expected = 0; // where the last tick left the cursor

export function listen() {
  byId("play").addEventListener("click", togglePlayback);
  byId("rates").addEventListener("click", (event) => {
    const rate = closest(event, "[data-rate]")?.dataset.rate;
    if (rate) setSpeed(Number(rate));
  });
  render();
}

export const togglePlayback = () => (start ? pause() : play());

function play() {
  start = { us: timeline.at, at: performance.now() };
  expected = timeline.at;
  render();
  requestAnimationFrame(tick);
}

export function pause() {
  start = null;
  render();
}

/** @param {number} wanted */
function setSpeed(wanted) {
  speed = wanted;
  if (start) start = { us: timeline.at, at: performance.now() };
  render();
}

/** @param {PageTime} at */
function tick(at) {
  if (!start) return;
  if (!isShown("history")) return pause();
  // If the user moved the cursor, playback continues from there.
  if (timeline.at !== expected) start = { us: timeline.at, at };
  let us = start.us + Math.max(0, at - start.at) * 1000 * speed;
  const watched = [...cameras.values()].filter((camera) => (chosenCamera() ?? camera.key) === camera.key);
  if (watched.length && watched.every((camera) => isGap(camera, us))) {
    // A gap is skipped; after the last footage, playback stops.
    us = nextStart(watched, us);
    if (!Number.isFinite(us)) return stopAt(newestEnd(watched));
    start = { us, at };
  }
  if (!(us < nowUs())) return pause();
  playTo(us);
  expected = timeline.at;
  requestAnimationFrame(tick);
}

/** @param {number} end */
function stopAt(end) {
  if (end > timeline.at) playTo(end);
  pause();
}

function render() {
  const button = byId("play"), isPlaying = start !== null;
  setData(button, "playing", isPlaying);
  button.setAttribute("aria-label", isPlaying ? "Pause" : "Play");
  button.title = isPlaying ? "Pause (space)" : "Play (space)";
  for (const rate of byId("rates").children) {
    setPressed(rate, Number(asKind(rate, HTMLElement).dataset.rate) === speed);
  }
}
