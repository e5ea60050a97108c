// A lane a camera: what of the time was recorded, with small pictures along it.

import { recordedFrame } from "./api.js";
import { byId, clone, placeAt, setText } from "./dom.js";
import { cameras, inOrder } from "./footage.js";
import { chosenCamera } from "./moments.js";
import { SECOND, partAt, widthOf } from "./span.js";
import { timeline } from "./timeline.js";
import { fullName } from "./wall.js";

const THUMB = 160; // pixels of a small picture as it is asked for
const THUMB_REM = 6.25; // and as it is shown: history.css
const REST_MS = 150; // pictures are asked for when the span has come to rest

const lanes = new Map();
let timer = 0;
let restedFor = "";

export function drawLanes() {
  inOrder().forEach((camera, index) => {
    const lane = laneOf(camera);
    placeAt(byId("lanes"), index, lane.root);
    lane.root.hidden = chosenCamera() !== null && chosenCamera() !== camera.key;
    if (lane.root.hidden) return;
    setText(lane.parts["lane-name"], fullName(camera.agent, camera.camera));
    drawSpans(lane);
    for (const thumb of lane.thumbs.values()) place(thumb);
  });
  restLater();
}

function laneOf(camera) {
  if (!lanes.has(camera.key)) {
    const lane = { camera, ...clone("lane-template"), thumbs: new Map() };
    lane.root.dataset.camera = camera.key;
    lanes.set(camera.key, lane);
  }
  return lanes.get(camera.key);
}

function drawSpans({ camera, parts }) {
  const width = parts.spans.clientWidth;
  const x = (us) => Math.min(width, Math.max(0, partAt(timeline.span, us) * width));
  const box = ([from, to]) => {
    const left = x(from), right = Math.max(x(to), left + 1);
    return `M${left.toFixed(1)} 0H${right.toFixed(1)}V99H${left.toFixed(1)}Z`;
  };
  const seen = camera.spans.filter(([from, to]) => to >= timeline.span.from && from <= timeline.span.to);
  parts["spans-path"].setAttribute("d", seen.map(box).join(""));
}

// ---- small pictures ----

function restLater() {
  const { span } = timeline;
  const counts = [...cameras.values()].map(({ spans }) => spans.length);
  const situation = [span.from, span.to, byId("lanes").clientWidth, chosenCamera(), ...counts].join();
  if (situation === restedFor) return;
  restedFor = situation;
  clearTimeout(timer);
  timer = setTimeout(() => {
    for (const lane of lanes.values()) if (!lane.root.hidden) syncThumbs(lane);
  }, REST_MS);
}

function syncThumbs(lane) {
  const rem = parseFloat(getComputedStyle(document.documentElement).fontSize);
  const room = (THUMB_REM * rem * widthOf(timeline.span)) / byId("lanes").clientWidth;
  const wanted = new Map(slots(room).flatMap((slot) => {
    const us = firstIn(lane.camera, slot);
    return us === null ? [] : [[us, slot.from]];
  }));
  for (const [us, thumb] of lane.thumbs) {
    if (wanted.has(us) && thumb.slot === wanted.get(us)) continue;
    thumb.image.remove(); // which gives up a request for it, too
    lane.thumbs.delete(us);
  }
  for (const [us, slot] of wanted) if (!lane.thumbs.has(us)) addThumb(lane, us, slot);
}

/** Places for pictures, which stay where they are when the span moves, so that those there are can be kept. */
function slots(room) {
  const { from, to } = timeline.span;
  const power = 2 ** Math.floor(Math.log2(room / SECOND)) * SECOND;
  const step = [1, 1.5, 2].map((times) => times * power).find((step) => step >= room);
  const found = [];
  for (let at = Math.floor(from / step) * step; at < to; at += step) found.push({ from: at, to: at + step });
  return found;
}

function firstIn({ spans }, slot) {
  const span = spans.find(([from, to]) => to >= slot.from && from < slot.to);
  return span ? Math.max(span[0], slot.from) : null;
}

function addThumb(lane, us, slot) {
  const image = new Image();
  image.alt = "";
  image.draggable = false;
  image.onerror = () => {
    image.remove();
    lane.thumbs.delete(us); // so that it is asked for again
  };
  image.src = recordedFrame(lane.camera, { at_us: us, width: THUMB });
  const thumb = { image, us, slot };
  lane.thumbs.set(us, thumb);
  place(thumb);
  lane.parts.thumbs.append(image);
}

const place = ({ image, us }) => image.style.setProperty("--part", partAt(timeline.span, us).toFixed(5));
