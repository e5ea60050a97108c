// @ts-check
/** @import { RecordedCamera, TimeSpan } from "../../types.js" */

// The recorded spans of every camera within the visible time.

import { fetchRecordings } from "../shared/api.js";
import { latestRequest } from "../shared/latest_request.js";
import { nowUs } from "../shared/receiver_clock.js";
import { contains, padded } from "../shared/time_span.js";
import { wall } from "../shared/wall.js";
import { isCovered } from "./recorded_spans.js";
import { timeline, timelineChanged } from "./timeline.js";

const PADDING = 0.5; // of the width, requested on either side
const SETTLED_US = 1e6; // newer footage may still be missing from an answer

/**
 * Keyed by AGENT/CAMERA.
 * @type {Map<string, RecordedCamera>}
 */
export const cameras = new Map();

/** @type {TimeSpan | null} */
let loaded = null; // the span of the last answer
let settledTo = 0;
let listener = () => {};

/** @param {() => void} callback is called after each answer */
export const onFootage = (callback) => (listener = callback);

const request = latestRequest(
  /** @param {TimeSpan & { settledTo: number }} wanted */
  ({ from, to }) => fetchRecordings({ from_us: from, to_us: to }),
  (answer, wanted) => {
    addWallCameras();
    for (const camera of cameras.values()) camera.spans = [];
    for (const { agent, camera, spans } of answer.cameras) cameraNamed(agent, camera).spans = spans;
    loaded = { from: wanted.from, to: wanted.to };
    settledTo = wanted.settledTo;
    listener();
    timelineChanged();
  },
  () => {},
);

/**
 * Requests the visible span, unless it is loaded.
 * @param {boolean} isForced whether to request it anyway, because it may have grown
 */
export function refreshFootage(isForced) {
  const { span } = timeline;
  if (!isForced && loaded && contains(loaded, span.from) && contains(loaded, span.to)) return;
  request({ ...padded(span, PADDING), settledTo: nowUs() - SETTLED_US });
}

export function addWallCameras() {
  for (const agent of wall.agents) for (const camera of agent.cameras) cameraNamed(agent.name, camera.name);
}

/** @param {string} agent @param {string} camera */
function cameraNamed(agent, camera) {
  const key = `${agent}/${camera}`;
  const found = cameras.get(key) ?? { agent, camera, key, spans: [] };
  cameras.set(key, found);
  return found;
}

/** Returns the cameras in the wall's order; those that it does not list are last. */
export function camerasInOrder() {
  const keys = wall.agents.flatMap((agent) => agent.cameras.map((camera) => `${agent.name}/${camera.name}`));
  const indexes = new Map(keys.map((key, index) => [key, index]));
  /** @param {RecordedCamera} camera */
  const indexOf = ({ key }) => indexes.get(key) ?? keys.length;
  return [...cameras.values()].sort((a, b) => indexOf(a) - indexOf(b) || a.key.localeCompare(b.key));
}

/** Whether an answer has arrived. */
export const isLoaded = () => loaded !== null;

/**
 * Whether it is certain that there is no picture at a time.
 * @param {RecordedCamera} camera @param {number} us
 */
export const isGap = (camera, us) =>
  loaded !== null && contains(loaded, us) && us < settledTo && !isCovered(camera, us);
