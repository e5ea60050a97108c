// @ts-check
/** @import { Camera, FrameHeader, PageTime, Tile, TileState } from "../../types.js" */

// The cameras' tiles: the picture and its age, or why it is missing.

import { asKind, byId, copyTemplate, placeAt, setData, setText, setTitle } from "../shared/dom.js";
import { clock, duration } from "../shared/format.js";
import { identifierWords } from "../shared/identifiers.js";
import { UNLISTED_MS, fullName, stateMs, wall } from "../shared/wall.js";

const STALE_MS = 2_000;
const BROKEN_SHOWN_MS = 10_000;
const RATE_WINDOW_MS = 4_000;
const SINCE_TOLERANCE_MS = 1_000;

/** @type {Partial<Record<TileState, string>>} */
const TITLES = { "no-signal": "NO SIGNAL", waiting: "Waiting for the first frame", off: "Off" };

/** @type {Map<string, Tile>} */
export const tiles = new Map();

/** @param {string} agent @param {string} camera */
export function tileFor(agent, camera) {
  const key = `${agent}/${camera}`;
  return tiles.get(key) ?? makeTile(key, agent, camera);
}

/** @param {string} key @param {string} agent @param {string} camera */
function makeTile(key, agent, camera) {
  const { root, parts } = copyTemplate("tile-template");
  const canvas = asKind(parts.picture, HTMLCanvasElement);
  /** @type {Tile} */
  const tile = {
    key, agent, camera, root, parts, canvas,
    context: /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d", { alpha: false })),
    status: null, listedAt: performance.now(), since: -Infinity, frame: null, size: null, arrivals: [],
    drawn: 0, broken: 0, brokenAt: 0, switching: null,
  };
  root.dataset.camera = key;
  setText(parts.name, camera);
  setText(parts.agent, agent);
  tiles.set(key, tile);
  byId("cameras").append(root);
  return tile;
}

// ---- received data ----

/** Matches the tiles to a new wall. */
export function syncTiles() {
  let index = 0;
  for (const tile of tiles.values()) tile.status = null; // the status of an earlier wall no longer holds
  for (const agent of wall.agents) {
    for (const camera of agent.cameras) {
      const tile = tileFor(agent.name, camera.name);
      const { width, height } = camera;
      tile.status = camera;
      tile.listedAt = wall.at;
      if (width !== null && height !== null && width > 0 && height > 0) tile.size = { width, height };
      placeAt(byId("cameras"), index++, tile.root);
    }
  }
  for (const tile of tiles.values()) {
    if (wall.at - Math.max(tile.listedAt, tile.frame?.at ?? 0) <= UNLISTED_MS) continue;
    tile.root.remove();
    tiles.delete(tile.key);
  }
}

/** @param {Tile} tile @param {ImageBitmap} bitmap @param {FrameHeader} header @param {PageTime} at */
export function drawFrame(tile, bitmap, header, at) {
  const { width, height } = bitmap, { canvas } = tile;
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  tile.context.drawImage(bitmap, 0, 0);
  tile.frame = { at, age: header.age_ms };
  tile.size = { width, height };
  tile.arrivals.push(at);
  dropOldArrivals(tile.arrivals, at);
  tile.drawn += 1;
  setData(tile.root, "frames", tile.drawn);
  setData(tile.root, "seq", header.seq);
  if (tile.root.dataset.state !== "live") renderTile(tile, performance.now());
}

/** @param {Tile} tile @param {PageTime} at */
export function noteBrokenFrame(tile, at) {
  tile.broken += 1;
  tile.brokenAt = at;
}

// ---- rendering ----

/** @param {Tile} tile @param {PageTime} at */
export const frameAge = ({ frame }, at) => (frame ? frame.age + at - frame.at : 0);

/**
 * Whether the camera was switched off deliberately.
 * @param {Tile} tile
 */
export const isOff = (tile) => tile.status?.settings?.on === false;

/** @param {Tile} tile @param {PageTime} at @returns {TileState} */
export function tileState(tile, at) {
  if (isOff(tile)) return "off";
  if (tile.status?.up === false) return "no-signal";
  if (!tile.frame) return "waiting";
  return frameAge(tile, at) > STALE_MS ? "stale" : "live";
}

/** @param {Tile} tile @param {PageTime} at */
export function renderTile(tile, at) {
  const { root, parts } = tile;
  const state = tileState(tile, at);
  setData(root, "state", state);
  parts.stage.setAttribute("aria-label", `${fullName(tile.agent, tile.camera)}, ${state.replace("-", " ")}`);
  setText(parts.mark, state === "stale" ? `STALE ${duration(frameAge(tile, at))}` : "");
  setText(parts["notice-title"], TITLES[state] ?? "");
  setText(parts["notice-cause"], causeText(tile, state));
  setText(parts["notice-since"], state === "no-signal" ? sinceText(tile, at) : "");
  renderFacts(tile, state, at);
}

/** @param {Tile} tile @param {TileState} state */
function causeText({ status }, state) {
  if (state === "off") return "switched off on purpose";
  return state === "no-signal" && status ? identifierWords(status.cause) : "";
}

/** @param {Tile} tile @param {TileState} state @param {PageTime} at */
function renderFacts(tile, state, at) {
  const { parts, status, frame, size } = tile;
  setTitle(parts.facts, status?.up ? identifierWords(status.cause) : "");
  setText(parts.broken, tile.broken && at - tile.brokenAt < BROKEN_SHOWN_MS ? `${tile.broken} broken` : "");
  setText(parts.source, status ? sourceText(status) : "");
  setText(parts.age, frame ? `${duration(frameAge(tile, at))} ago` : "no frame yet");
  setText(parts.rate, state === "live" ? rateText(tile, at) : "");
  setText(parts.size, size ? `${size.width} × ${size.height}` : "");
}

/** @param {Tile} tile @param {PageTime} at */
function sinceText(tile, at) {
  const ms = tile.status && stateMs(tile.status, at);
  if (ms === null) return "";
  const since = Date.now() - ms;
  // Walls arrive with jitter, which must not make the displayed second flicker.
  if (Math.abs(since - tile.since) > SINCE_TOLERANCE_MS) tile.since = since;
  return `for ${duration(ms)}, since ${clock(tile.since)}`;
}

/** @param {Camera} camera */
function sourceText({ source, fps }) {
  return fps !== null && Number.isFinite(fps) ? `${source} at ${fps.toFixed(1)} fps` : source;
}

/** @param {PageTime[]} arrivals @param {PageTime} at */
function dropOldArrivals(arrivals, at) {
  while (arrivals.length && at - arrivals[0] > RATE_WINDOW_MS) arrivals.shift();
}

/**
 * Returns the rate of drawn frames; the source's own rate may be higher.
 * @param {Tile} tile @param {PageTime} at
 */
function rateText({ arrivals }, at) {
  dropOldArrivals(arrivals, at);
  const last = arrivals.length - 1;
  const rate = last < 1 ? 0 : (last * 1000) / (arrivals[last] - arrivals[0]);
  return `${rate > 0 && rate < 9.95 ? rate.toFixed(1) : Math.round(rate)} fps`;
}
