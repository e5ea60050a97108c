// @ts-check
/** @import { FootageTrack, RecordedCamera, Thumbnail } from "../../types.js" */

// A track for each camera: the spans that were recorded, with thumbnails along them.

import { recordedFrameUrl } from "../shared/api.js";
import { byId, copyTemplate, placeAt, remInPixels, setText } from "../shared/dom.js";
import { partAt, widthOf } from "../shared/time_span.js";
import { fullName } from "../shared/wall.js";
import { cameras, camerasInOrder } from "./footage.js";
import { chosenCamera } from "./moments.js";
import { firstIn, spansPath, thumbnailSlots } from "./recorded_spans.js";
import { timeline } from "./timeline.js";

const THUMBNAIL_PIXELS = 160; // the requested width
const THUMBNAIL_REM = 6.25; // the shown width, as in history.css
const REST_MS = 150; // thumbnails are requested when the span has stopped moving

/** @type {Map<string, FootageTrack>} */
const tracks = new Map();
/** @type {ReturnType<typeof setTimeout> | undefined} */
let timer;
let requestedFor = "";

export function drawTracks() {
  camerasInOrder().forEach((camera, index) => {
    const track = trackOf(camera);
    placeAt(byId("tracks"), index, track.root);
    track.root.hidden = chosenCamera() !== null && chosenCamera() !== camera.key;
    if (track.root.hidden) return;
    setText(track.parts["track-name"], fullName(camera.agent, camera.camera));
    const path = spansPath(camera, timeline.span, track.parts.spans.clientWidth);
    track.parts["spans-path"].setAttribute("d", path);
    for (const thumbnail of track.thumbnails.values()) place(thumbnail);
  });
  requestThumbnailsLater();
}

/** @param {RecordedCamera} camera */
const trackOf = (camera) => tracks.get(camera.key) ?? makeTrack(camera);

/** @param {RecordedCamera} camera */
function makeTrack(camera) {
  /** @type {FootageTrack} */
  const track = { camera, ...copyTemplate("track-template"), thumbnails: new Map() };
  track.root.dataset.camera = camera.key;
  tracks.set(camera.key, track);
  return track;
}

// ---- thumbnails ----

function requestThumbnailsLater() {
  const { span } = timeline;
  const counts = [...cameras.values()].map(({ spans }) => spans.length);
  const situation = [span.from, span.to, byId("tracks").clientWidth, chosenCamera(), ...counts].join();
  if (situation === requestedFor) return;
  requestedFor = situation;
  clearTimeout(timer);
  timer = setTimeout(() => {
    for (const track of tracks.values()) if (!track.root.hidden) syncThumbnails(track);
  }, REST_MS);
}

/** @param {FootageTrack} track */
function syncThumbnails(track) {
  const room = (THUMBNAIL_REM * remInPixels() * widthOf(timeline.span)) / byId("tracks").clientWidth;
  /** @type {Map<number, number>} */
  const wanted = new Map(); // from the time to the start of its slot
  for (const slot of thumbnailSlots(timeline.span, room)) {
    const us = firstIn(track.camera, slot);
    if (us !== null) wanted.set(us, slot.from);
  }
  for (const [us, thumbnail] of track.thumbnails) {
    if (wanted.has(us) && thumbnail.slot === wanted.get(us)) continue;
    thumbnail.image.remove(); // also cancels its request
    track.thumbnails.delete(us);
  }
  for (const [us, slot] of wanted) if (!track.thumbnails.has(us)) addThumbnail(track, us, slot);
}

/** @param {FootageTrack} track @param {number} us @param {number} slot */
function addThumbnail(track, us, slot) {
  const image = new Image();
  image.alt = "";
  image.draggable = false;
  image.onerror = () => {
    image.remove();
    track.thumbnails.delete(us); // so that it is requested again
  };
  image.src = recordedFrameUrl(track.camera, { at_us: us, width: THUMBNAIL_PIXELS });
  const thumbnail = { image, us, slot };
  track.thumbnails.set(us, thumbnail);
  place(thumbnail);
  track.parts.thumbnails.append(image);
}

/** @param {Thumbnail} thumbnail */
const place = ({ image, us }) => image.style.setProperty("--part", partAt(timeline.span, us).toFixed(5));
