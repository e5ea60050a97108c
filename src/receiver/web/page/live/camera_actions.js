// @ts-check
/** @import { PageTime, Tile } from "../../types.js" */

// The buttons of a camera's tile: snapshot, power and history.

import { frameUrl, requestSnapshot, setCamera } from "../shared/api.js";
import { asKind, byId, closest, setData, setHref, setTitle } from "../shared/dom.js";
import { showToast } from "../shared/toast.js";
import { openView, viewAddress } from "../shared/views.js";
import { agentNamed, fullName, wall } from "../shared/wall.js";
import { isOff, tiles } from "./tiles.js";

const SWITCH_TIMEOUT_MS = 5_000; // the status confirms within a second
const SNAPSHOT_TIMEOUT_MS = 10_000; // as long as the agent waits for a frame
const POLL_INTERVAL_MS = 100;

export function listen() {
  byId("cameras").addEventListener("click", (event) => {
    const action = closest(event, "[data-action]")?.dataset.action;
    const tile = tiles.get(closest(event, ".tile")?.dataset.camera ?? "");
    if (action && tile) actions[action](tile);
  });
}

/**
 * By the name in the tile's template.
 * @type {Record<string, (tile: Tile) => void>}
 */
export const actions = {
  enlarge: () => {}, // enlarged_tile.js handles it like a click on the picture
  snapshot: (tile) => attempt(() => takeSnapshot(tile)),
  power: (tile) => {
    if (canControl(tile) && !isSwitching(tile, performance.now())) attempt(() => togglePower(tile));
  },
  history: (tile) => openView("history", { camera: tile.key }),
};

/** @param {Tile} tile */
const canControl = (tile) =>
  wall.role === "control" && agentNamed(tile.agent)?.control === true && tile.status !== null;

/** @param {Tile} tile @param {PageTime} at */
const isSwitching = (tile, at) =>
  tile.switching !== null && tile.switching.on === isOff(tile) && at - tile.switching.at < SWITCH_TIMEOUT_MS;

/** @param {Tile} tile @param {PageTime} at */
export function renderActions(tile, at) {
  const power = asKind(tile.parts["action-power"], HTMLButtonElement);
  const isOffNow = isOff(tile), switching = isSwitching(tile, at);
  power.hidden = !canControl(tile);
  power.disabled = switching;
  setData(power, "off", isOffNow);
  setTitle(power, `${switching ? "Switching" : "Switch"} ${isOffNow ? "on" : "off"}`);
  setHref(tile.parts["action-history"], viewAddress("history", { camera: tile.key }));
}

/** @param {() => Promise<void>} action */
async function attempt(action) {
  try {
    await action();
  } catch (error) {
    showToast(error instanceof Error ? error.message : String(error), "bad");
  }
}

/** @param {Tile} tile */
async function togglePower(tile) {
  const on = isOff(tile);
  tile.switching = { on, at: performance.now() };
  renderActions(tile, tile.switching.at);
  try {
    await setCamera(tile, { on });
    showToast(`Switching ${fullName(tile.agent, tile.camera)} ${on ? "on" : "off"}`);
  } catch (error) {
    tile.switching = null;
    throw error;
  }
}

/**
 * Saves the newest frame as a file. A camera that is off takes a new one first.
 * @param {Tile} tile
 */
async function takeSnapshot(tile) {
  if (isOff(tile) && canControl(tile)) {
    const before = tile.drawn;
    await requestSnapshot(tile);
    await until(() => tile.drawn > before);
  }
  if (!tile.frame) throw new Error(`No frame from ${fullName(tile.agent, tile.camera)} yet`);
  const link = document.createElement("a");
  link.href = `${frameUrl(tile)}?download`;
  link.download = "";
  link.click();
  showToast(`Snapshot of ${fullName(tile.agent, tile.camera)} saved`);
}

/** @param {() => boolean} condition @returns {Promise<void>} */
function until(condition) {
  const end = performance.now() + SNAPSHOT_TIMEOUT_MS;
  return new Promise((resolve, reject) => {
    const timer = setInterval(() => {
      if (!condition() && performance.now() < end) return;
      clearInterval(timer);
      if (condition()) resolve();
      else reject(new Error("The camera sent no frame within 10 s"));
    }, POLL_INTERVAL_MS);
  });
}
