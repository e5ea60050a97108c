// Playing what was recorded: the cursor goes on by the clock, and the pictures follow as well as they can.

import { nowUs } from "./api.js";
import { byId, setData } from "./dom.js";
import { cameras, isGap, newestEnd, nextBegin } from "./footage.js";
import { chosenCamera } from "./moments.js";
import { glideTo, timeline } from "./timeline.js";
import { isShown } from "./view.js";

let rate = 1;
let began = null; // { us, at }: where and when; null while it rests
let expected = 0; // where the last tick left the cursor

export function listen() {
  byId("play").addEventListener("click", toggle);
  byId("rates").addEventListener("click", ({ target }) => target.dataset.rate && setRate(Number(target.dataset.rate)));
  mark();
}

export const toggle = () => (began ? pause() : play());

function play() {
  began = { us: timeline.at, at: performance.now() };
  expected = timeline.at;
  mark();
  requestAnimationFrame(tick);
}

export function pause() {
  began = null;
  mark();
}

function setRate(wanted) {
  rate = wanted;
  if (began) began = { us: timeline.at, at: performance.now() };
  mark();
}

function tick(at) {
  if (!began) return;
  if (!isShown("history")) return pause();
  // Who moves the cursor goes on playing from there.
  if (timeline.at !== expected) began = { us: timeline.at, at };
  let us = began.us + Math.max(0, at - began.at) * 1000 * rate;
  const watched = [...cameras.values()].filter((camera) => (chosenCamera() ?? camera.key) === camera.key);
  if (watched.length && watched.every((camera) => isGap(camera, us))) {
    // What nobody recorded is not waited for; behind the last there is nothing to wait for.
    us = nextBegin(watched, us);
    if (!Number.isFinite(us)) return finish(newestEnd(watched));
    began = { us, at };
  }
  if (!(us < nowUs())) return pause();
  glideTo(us);
  expected = timeline.at;
  requestAnimationFrame(tick);
}

function finish(end) {
  if (end > timeline.at) glideTo(end);
  pause();
}

function mark() {
  setData(byId("play"), "playing", began !== null);
  byId("play").setAttribute("aria-label", began ? "Pause" : "Play");
  byId("play").title = began ? "Pause (space)" : "Play (space)";
  for (const button of byId("rates").children) {
    button.setAttribute("aria-pressed", Number(button.dataset.rate) === rate);
  }
}
