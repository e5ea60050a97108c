// What was recorded, by camera: spans of time, as far as the timeline shows.

import { askRecordings, nowUs } from "./api.js";
import { latest } from "./latest.js";
import { holds, widthOf } from "./span.js";
import { change, timeline } from "./timeline.js";
import { wall } from "./wall.js";

const BESIDE = 0.5; // of the width, on either side
const AT_ONCE_US = 1e6; // what was recorded less long ago may not be known yet
const LASTS_US = 2e6; // a frame with no other behind it, as the receiver has it

/** By AGENT/CAMERA: { agent, camera, key, spans }. */
export const cameras = new Map();

let asked = null; // the span that was asked for
let knownTo = 0; // the end of what is known for sure
let heard = () => {};

export const onFootage = (heir) => (heard = heir);

const ask = latest(
  ({ from, to }) => askRecordings({ from_us: from, to_us: to }),
  (answer, { from, to, until }) => {
    takeCameras();
    for (const one of cameras.values()) one.spans = [];
    for (const { agent, camera, spans } of answer.cameras) cameraOf(agent, camera).spans = spans;
    asked = { from, to };
    knownTo = until;
    heard(answer);
    change();
  },
  () => {},
);

/** Asks for what is shown, when it is not known or may have grown. */
export function refreshFootage(always) {
  const { span } = timeline, beside = BESIDE * widthOf(span);
  if (!always && asked && holds(asked, span.from) && holds(asked, span.to)) return;
  ask({ from: Math.max(0, span.from - beside), to: span.to + beside, until: nowUs() - AT_ONCE_US });
}

export function takeCameras() {
  for (const agent of wall.agents) for (const camera of agent.cameras) cameraOf(agent.name, camera.name);
}

function cameraOf(agent, camera) {
  const key = `${agent}/${camera}`;
  if (!cameras.has(key)) cameras.set(key, { agent, camera, key, spans: [] });
  return cameras.get(key);
}

/** In the wall's order; those that it does not know come last. */
export function inOrder() {
  const keys = wall.agents.flatMap((agent) => agent.cameras.map((camera) => `${agent.name}/${camera.name}`));
  const place = ({ key }) => (keys.includes(key) ? keys.indexOf(key) : Infinity);
  return [...cameras.values()].sort((a, b) => place(a) - place(b) || a.key.localeCompare(b.key));
}

export const spanAt = ({ spans }, us) => spans.find(([from, to]) => from <= us && us <= to);

/** Whether it is known whose pictures there are. */
export const isKnown = () => asked !== null;

/** Whether there is a picture, as far as is known. */
export const isCovered = ({ spans }, us) => spans.some(([from, to]) => from <= us && us <= to + LASTS_US);

/** Whether it is sure that there is none. */
export const isGap = (camera, us) =>
  asked !== null && holds(asked, us) && us < knownTo && !isCovered(camera, us);

const spansOf = (list) => list.flatMap(({ spans }) => spans);

export const newestEnd = (list) => Math.max(...spansOf(list).map(([, to]) => to));
export const nextBegin = (list, us) => Math.min(...spansOf(list).map(([from]) => from).filter((from) => from > us));
export const lastEnd = ({ spans }, us) => Math.max(...spans.map(([, to]) => to).filter((to) => to < us));
