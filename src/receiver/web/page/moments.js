// The pictures of the cursor's moment, a tile a camera.

import { askFrame } from "./api.js";
import { byId, clone, placeAt, setData, setText } from "./dom.js";
import { cameras, inOrder, isCovered, isGap, isKnown, lastEnd, spanAt } from "./footage.js";
import { latest } from "./latest.js";
import { change, moveTo, timeline } from "./timeline.js";
import { fullName } from "./wall.js";
import { moment, timeOfDay } from "./words.js";

const HIGHEST = 0.38, HIGHEST_ALONE = 0.56; // of the window
const LOWEST = 11; // rem
const GAP = 0.75; // rem, as in history.css
const LAST_MS = 500; // the last frame is not the last for long
const ASPECT = 4 / 3;

const tiles = new Map();
let chosen = null; // the key of the one that is large

export function listen() {
  byId("moments").addEventListener("click", ({ target }) => {
    const key = target.closest(".moment")?.dataset.camera;
    if (key) choose(key === chosen ? null : key);
  });
}

/** One camera alone, or all again. */
export function choose(key) {
  chosen = key;
  change();
}

export const chosenCamera = () => chosen;

export function sync() {
  const known = inOrder();
  if (isKnown() && !cameras.has(chosen)) chosen = null;
  known.forEach((camera, index) => placeAt(byId("moments"), index, tileOf(camera).root));
  for (const { root, camera } of tiles.values()) root.hidden = chosen !== null && camera.key !== chosen;
  layOut(chosen === null ? known.length : 1);
  for (const tile of tiles.values()) if (!tile.root.hidden) look(tile);
}

function tileOf(camera) {
  if (!tiles.has(camera.key)) tiles.set(camera.key, makeTile(camera));
  return tiles.get(camera.key);
}

function makeTile(camera) {
  const { root, parts } = clone("moment-template");
  const tile = { camera, root, parts, shownUs: null, nextUs: null, asked: null, snapping: false };
  tile.context = parts["moment-picture"].getContext("2d", { alpha: false });
  tile.ask = latest((us) => load(camera, us), (picture) => show(tile, picture), (error, us) => miss(tile, error, us));
  root.dataset.camera = camera.key;
  return tile;
}

async function load(camera, us) {
  const picture = await askFrame(camera, { at_us: us });
  return { ...picture, bitmap: await createImageBitmap(picture.jpeg) };
}

/** Asks for the cursor's picture, if it is another one than the one shown. */
function look(tile) {
  const { at } = timeline;
  setText(tile.parts["moment-name"], fullName(tile.camera.agent, tile.camera.camera));
  if (isGap(tile.camera, at)) return none(tile, "Nothing recorded");
  if (isRight(tile, at) || tile.asked === at) return;
  tile.asked = at;
  tile.ask(at);
}

function isRight({ camera, shownUs, nextUs, shownAt }, at) {
  if (shownUs === null || at < shownUs) return false;
  if (nextUs === null) return performance.now() - shownAt < LAST_MS;
  return at < nextUs && isCovered(camera, at);
}

function show(tile, { bitmap, atUs, nextUs }) {
  const { parts, context } = tile, { width, height } = bitmap;
  const picture = parts["moment-picture"];
  if (picture.width !== width || picture.height !== height) Object.assign(picture, { width, height });
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  Object.assign(tile, { shownUs: atUs, nextUs, shownAt: performance.now() });
  if (nextUs === null) tile.asked = null; // a next one may come
  setData(tile.root, "state", "shown");
  setData(tile.root, "at", atUs);
  setText(parts["moment-time"], timeOfDay(atUs, { fractionalSecondDigits: 2 }));
  setText(parts["moment-why"], "");
  tile.root.setAttribute("aria-label", `${tile.camera.key}, ${moment(atUs)}`);
  if (tile.snapping) moveTo(atUs);
  else if (!isRight(tile, timeline.at)) change();
  tile.snapping = false;
}

function miss(tile, error, us) {
  tile.snapping = false;
  if (us !== timeline.at) change();
  none(tile, error.status === 404 ? "Nothing recorded" : error.message);
  setData(tile.root, "at", Math.round(us));
}

function none(tile, why) {
  Object.assign(tile, { shownUs: null, nextUs: null, asked: null }); // it may be there when it is looked at next
  setData(tile.root, "state", "none");
  setText(tile.parts["moment-why"], why);
  setText(tile.parts["moment-time"], "");
  tile.root.setAttribute("aria-label", `${tile.camera.key}, ${why}`);
}

// ---- frame by frame ----

/** The camera whose frames steps follow: the large one, or the first with a picture. */
function leader() {
  const shown = [...byId("moments").children].map((root) => tiles.get(root.dataset.camera));
  return shown.find((tile) => tile.camera.key === chosen) ?? shown.find((tile) => tile.shownUs !== null) ?? shown[0];
}

export function stepOn() {
  const nextUs = leader()?.nextUs;
  if (nextUs) moveTo(nextUs);
}

export function stepBack() {
  const tile = leader();
  if (!tile) return;
  const before = (tile.shownUs ?? timeline.at) - 1;
  const end = spanAt(tile.camera, before) ? before : lastEnd(tile.camera, before);
  if (!Number.isFinite(end)) return;
  tile.snapping = true; // the cursor goes to where the frame before is
  moveTo(end);
}

// ---- how large they are ----

let laidOutFor = "";

function layOut(count) {
  const box = byId("moments");
  const rem = parseFloat(getComputedStyle(document.documentElement).fontSize);
  const highest = count === 1 ? HIGHEST_ALONE : HIGHEST;
  const width = box.clientWidth / rem, height = Math.max(LOWEST, (innerHeight * highest) / rem);
  const situation = [count, width, height].join();
  if (situation === laidOutFor || count === 0) return;
  laidOutFor = situation;
  let best = { columns: 1, tile: 0 };
  for (let columns = 1; columns <= count; columns++) {
    const rows = Math.ceil(count / columns);
    const tile = Math.min((width + GAP) / columns - GAP, ((height + GAP) / rows - GAP) * ASPECT);
    if (tile > best.tile) best = { columns, tile };
  }
  box.style.setProperty("--columns", best.columns);
  box.style.setProperty("--tile", `${best.tile}rem`);
}
