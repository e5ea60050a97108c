// The cameras' tiles: the picture, how old it is, and why there is none.

import { byId, clone, placeAt, setData, setText, setTitle } from "./dom.js";
import { UNLISTED_MS, fullName, stateMs, wall } from "./wall.js";
import { clock, duration } from "./words.js";

const STALE_MS = 2_000;
const BROKEN_SHOWN_MS = 10_000;
const RATE_WINDOW_MS = 4_000;
const SINCE_STEADY_MS = 1_000;
const TITLES = { "no-signal": "NO SIGNAL", waiting: "Waiting for the first frame", off: "Off" };

const CAUSES = { "no-signal": (tile) => tile.status.cause, off: () => "switched off by choice" };

export const tiles = new Map();

export function tileFor(agent, camera) {
  const key = `${agent}/${camera}`;
  return tiles.get(key) ?? makeTile(key, agent, camera);
}

function makeTile(key, agent, camera) {
  const { root, parts } = clone("tile-template");
  const tile = { key, agent, camera, root, parts, ...nothingYet() };
  tile.context = parts.picture.getContext("2d", { alpha: false });
  root.dataset.camera = key;
  setText(parts.name, camera);
  setText(parts.agent, agent);
  tiles.set(key, tile);
  byId("cameras").append(root);
  return tile;
}

const nothingYet = () => ({
  status: null, listedAt: performance.now(), since: -Infinity,
  frame: null, size: null, arrivals: [], drawn: 0, broken: 0, brokenAt: 0,
  turning: null, // what acts.js has asked of the camera
});

// ---- what comes ----

export function syncTiles() {
  let index = 0;
  for (const tile of tiles.values()) tile.status = null; // what an earlier wall said is no longer known
  for (const agent of wall.agents) {
    for (const camera of agent.cameras) {
      const tile = tileFor(agent.name, camera.name);
      tile.status = camera;
      tile.listedAt = wall.at;
      if (camera.width > 0 && camera.height > 0) tile.size = { width: camera.width, height: camera.height };
      placeAt(byId("cameras"), index++, tile.root);
    }
  }
  for (const tile of tiles.values()) {
    if (wall.at - Math.max(tile.listedAt, tile.frame?.at ?? 0) <= UNLISTED_MS) continue;
    tile.root.remove();
    tiles.delete(tile.key);
  }
}

export function drawFrame(tile, bitmap, header, at) {
  const { width, height } = bitmap;
  const { picture } = tile.parts;
  if (picture.width !== width || picture.height !== height) Object.assign(picture, { width, height });
  tile.context.drawImage(bitmap, 0, 0);
  tile.frame = { at, age: header.age_ms };
  tile.size = { width, height };
  tile.arrivals.push(at);
  forget(tile.arrivals, at);
  tile.drawn += 1;
  setData(tile.root, "frames", tile.drawn);
  setData(tile.root, "seq", header.seq);
  if (tile.root.dataset.state !== "live") renderTile(tile, performance.now());
}

export function noteBroken(tile, at) {
  tile.broken += 1;
  tile.brokenAt = at;
}

// ---- what is shown ----

export const frameAge = (tile, at) => tile.frame.age + at - tile.frame.at;

/** Switched off by somebody, which is no trouble. */
export const isOff = (tile) => tile.status?.settings?.on === false;

export function tileState(tile, at) {
  if (isOff(tile)) return "off";
  if (tile.status?.up === false) return "no-signal";
  if (!tile.frame) return "waiting";
  return frameAge(tile, at) > STALE_MS ? "stale" : "live";
}

export function renderTile(tile, at) {
  const { root, parts } = tile;
  const state = tileState(tile, at);
  setData(root, "state", state);
  parts.stage.setAttribute("aria-label", `${fullName(tile.agent, tile.camera)}, ${state.replace("-", " ")}`);
  setText(parts.mark, state === "stale" ? `STALE ${duration(frameAge(tile, at))}` : "");
  setText(parts["notice-title"], TITLES[state] ?? "");
  setText(parts["notice-cause"], CAUSES[state]?.(tile) ?? "");
  setText(parts["notice-since"], state === "no-signal" ? forSince(tile, at) : "");
  renderFacts(tile, state, at);
}

function renderFacts(tile, state, at) {
  const { parts, status, frame, size } = tile;
  setTitle(parts.facts, status?.up ? status.cause : "");
  setText(parts.broken, tile.broken && at - tile.brokenAt < BROKEN_SHOWN_MS ? `${tile.broken} broken` : "");
  setText(parts.source, status ? sourceWords(status) : "");
  setText(parts.age, frame ? `${duration(frameAge(tile, at))} ago` : "no frame yet");
  setText(parts.rate, state === "live" ? rateWords(tile, at) : "");
  setText(parts.size, size ? `${size.width} × ${size.height}` : "");
}

function forSince(tile, at) {
  const ms = stateMs(tile.status, at);
  if (ms === null) return "";
  const since = Date.now() - ms;
  // Walls take a little more or less time to come; the second shown must not flicker with that.
  if (Math.abs(since - tile.since) > SINCE_STEADY_MS) tile.since = since;
  return `for ${duration(ms)}, since ${clock(tile.since)}`;
}

function sourceWords({ source, fps }) {
  return Number.isFinite(fps) ? `${source} at ${fps.toFixed(1)} fps` : source;
}

function forget(arrivals, at) {
  while (arrivals.length && at - arrivals[0] > RATE_WINDOW_MS) arrivals.shift();
}

/** As drawn here; the source's own rate may be higher. */
function rateWords({ arrivals }, at) {
  forget(arrivals, at);
  const rate = arrivals.length < 2 ? 0 : ((arrivals.length - 1) * 1000) / (arrivals.at(-1) - arrivals[0]);
  return `${rate > 0 && rate < 9.95 ? rate.toFixed(1) : Math.round(rate)} fps`;
}
