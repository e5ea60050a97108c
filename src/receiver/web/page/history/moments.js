// @ts-check
/** @import { Moment, RecordedCamera, RecordedFrame } from "../../types.js" */

// The cameras' pictures at the cursor, a tile each.

import { ResponseError, fetchFrame } from "../shared/api.js";
import { asKind, byId, closest, copyTemplate, placeAt, remInPixels, setData, setText } from "../shared/dom.js";
import { dateTime, timeOfDay } from "../shared/format.js";
import { latestRequest } from "../shared/latest_request.js";
import { layOutMoments } from "../shared/tile_grid.js";
import { fullName } from "../shared/wall.js";
import { cameras, camerasInOrder, isGap, isLoaded } from "./footage.js";
import { hasSpanAt, isCovered, previousEnd } from "./recorded_spans.js";
import { moveTo, timeline, timelineChanged } from "./timeline.js";

const MAX_HEIGHT = 0.38, MAX_HEIGHT_ALONE = 0.56; // of the window
const MIN_HEIGHT = 11; // rem
const LAST_FRAME_FRESH_MS = 500; // a later frame may arrive soon

/** @type {Map<string, Moment>} */
const moments = new Map();
/** @type {string | null} */
let chosen = null; // the key of the camera that is shown alone

export function listen() {
  byId("moments").addEventListener("click", (event) => {
    const key = closest(event, ".moment")?.dataset.camera;
    if (key) chooseCamera(key === chosen ? null : key);
  });
}

/**
 * Shows one camera alone; null shows all.
 * @param {string | null} key
 */
export function chooseCamera(key) {
  chosen = key;
  timelineChanged();
}

export const chosenCamera = () => chosen;

/** Matches the tiles to the known cameras, and requests the pictures at the cursor. */
export function syncMoments() {
  const known = camerasInOrder();
  if (isLoaded() && chosen !== null && !cameras.has(chosen)) chosen = null;
  known.forEach((camera, index) => placeAt(byId("moments"), index, momentOf(camera).root));
  for (const { root, camera } of moments.values()) root.hidden = chosen !== null && camera.key !== chosen;
  layOut(chosen === null ? known.length : 1);
  for (const moment of moments.values()) if (!moment.root.hidden) refresh(moment);
}

/** @param {RecordedCamera} camera */
const momentOf = (camera) => moments.get(camera.key) ?? makeMoment(camera);

/** @param {RecordedCamera} camera */
function makeMoment(camera) {
  const { root, parts } = copyTemplate("moment-template");
  const canvas = asKind(parts["moment-picture"], HTMLCanvasElement);
  /** @type {Moment} */
  const moment = {
    camera, root, parts, canvas,
    context: /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d", { alpha: false })),
    shownUs: null, nextUs: null, shownAt: 0, requestedUs: null, snapping: false,
    request: latestRequest(
      (us) => load(camera, us), (picture) => draw(moment, picture), (error, us) => onError(moment, error, us),
    ),
  };
  root.dataset.camera = camera.key;
  moments.set(camera.key, moment);
  return moment;
}

/** @param {RecordedCamera} camera @param {number} us */
async function load(camera, us) {
  const picture = await fetchFrame(camera, { at_us: us });
  return { ...picture, bitmap: await createImageBitmap(picture.jpeg) };
}

/**
 * Requests the picture at the cursor, unless it is shown or known to be missing.
 * @param {Moment} moment
 */
function refresh(moment) {
  const { at } = timeline;
  setText(moment.parts["moment-name"], fullName(moment.camera.agent, moment.camera.camera));
  if (isGap(moment.camera, at)) return clear(moment, "Nothing recorded");
  if (isCurrent(moment, at) || moment.requestedUs === at) return;
  moment.requestedUs = at;
  moment.request(at);
}

/**
 * Whether the shown picture is the one at this time.
 * @param {Moment} moment @param {number} at
 */
function isCurrent({ camera, shownUs, nextUs, shownAt }, at) {
  if (shownUs === null || at < shownUs) return false;
  if (nextUs === null) return performance.now() - shownAt < LAST_FRAME_FRESH_MS;
  return at < nextUs && isCovered(camera, at);
}

/** @param {Moment} moment @param {RecordedFrame & { bitmap: ImageBitmap }} picture */
function draw(moment, { bitmap, atUs, nextUs }) {
  const { parts, canvas, context } = moment, { width, height } = bitmap;
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  moment.shownUs = atUs;
  moment.nextUs = nextUs;
  moment.shownAt = performance.now();
  if (nextUs === null) moment.requestedUs = null; // a later frame may arrive
  setData(moment.root, "state", "shown");
  setData(moment.root, "at", atUs);
  setText(parts["moment-time"], timeOfDay(Number(atUs), { fractionalSecondDigits: 2 }));
  setText(parts["moment-note"], "");
  moment.root.setAttribute("aria-label", `${moment.camera.key}, ${dateTime(Number(atUs))}`);
  if (moment.snapping && atUs !== null) moveTo(atUs);
  else if (!isCurrent(moment, timeline.at)) timelineChanged();
  moment.snapping = false;
}

/** @param {Moment} moment @param {Error} error @param {number} us */
function onError(moment, error, us) {
  moment.snapping = false;
  if (us !== timeline.at) timelineChanged();
  const isMissing = error instanceof ResponseError && error.status === 404;
  clear(moment, isMissing ? "Nothing recorded" : error.message);
  setData(moment.root, "at", Math.round(us));
}

/**
 * Shows a note instead of a picture.
 * @param {Moment} moment @param {string} note
 */
function clear(moment, note) {
  moment.shownUs = moment.nextUs = null;
  moment.requestedUs = null; // the picture may exist at the next attempt
  setData(moment.root, "state", "none");
  setText(moment.parts["moment-note"], note);
  setText(moment.parts["moment-time"], "");
  moment.root.setAttribute("aria-label", `${moment.camera.key}, ${note}`);
}

// ---- frame by frame ----

/** Returns the camera whose frames the steps follow: the chosen one, or the first with a picture. */
function leader() {
  const shown = [...byId("moments").children].flatMap((node) => {
    const moment = moments.get(asKind(node, HTMLElement).dataset.camera ?? "");
    return moment ? [moment] : [];
  });
  return shown.find(({ camera }) => camera.key === chosen) ?? shown.find(({ shownUs }) => shownUs !== null) ?? shown[0];
}

export function stepForward() {
  const nextUs = leader()?.nextUs;
  if (nextUs) moveTo(nextUs);
}

export function stepBack() {
  const moment = leader();
  if (!moment) return;
  const before = (moment.shownUs ?? timeline.at) - 1;
  const end = hasSpanAt(moment.camera, before) ? before : previousEnd(moment.camera, before);
  if (!Number.isFinite(end)) return;
  moment.snapping = true; // the cursor moves to the frame's own time
  moveTo(end);
}

// ---- size ----

let laidOutFor = "";

/** @param {number} count */
function layOut(count) {
  const box = byId("moments"), rem = remInPixels();
  const maxHeight = count === 1 ? MAX_HEIGHT_ALONE : MAX_HEIGHT;
  const width = box.clientWidth / rem, height = Math.max(MIN_HEIGHT, (innerHeight * maxHeight) / rem);
  const situation = [count, width, height].join();
  if (situation === laidOutFor || count === 0) return;
  laidOutFor = situation;
  const { columns, tile } = layOutMoments(count, width, height);
  box.style.setProperty("--columns", String(columns));
  box.style.setProperty("--tile", `${tile}rem`);
}
