// What can be done with a camera from its tile: a snapshot, on and off, and the way to its history.

import { askForSnapshot, frameOf, setCamera } from "./api.js";
import { byId, setData, setHref, setTitle } from "./dom.js";
import { tell } from "./tell.js";
import { isOff, tiles } from "./tiles.js";
import { agentNamed, fullName, wall } from "./wall.js";
import { address, go } from "./view.js";

const ASKED_MS = 5_000; // the status tells within a second
const SNAPSHOT_MS = 10_000; // the agent waits no longer for a frame
const LOOK_MS = 100;

export function listen() {
  byId("cameras").addEventListener("click", ({ target }) => {
    const act = target.closest("[data-act]")?.dataset.act;
    if (act) acts[act](tiles.get(target.closest(".tile").dataset.camera));
  });
}

/** By name, as in the tile's template; each takes a tile. */
export const acts = {
  large: () => {}, // what a click on the picture does, too: large.js
  snapshot: (tile) => attempt(() => takeSnapshot(tile)),
  power: (tile) => mayControl(tile) && !isTurning(tile, performance.now()) && attempt(() => toggle(tile)),
  history: (tile) => go("history", { camera: tile.key }),
};

const mayControl = (tile) =>
  wall.role === "control" && agentNamed(tile.agent)?.control === true && tile.status !== null;
const isTurning = (tile, at) =>
  tile.turning !== null && tile.turning.on === isOff(tile) && at - tile.turning.at < ASKED_MS;

export function renderActs(tile, at) {
  const { "act-power": power, "act-history": history } = tile.parts;
  const off = isOff(tile), turning = isTurning(tile, at);
  power.hidden = !mayControl(tile);
  power.disabled = turning;
  setData(power, "off", off);
  setTitle(power, turning ? (off ? "Switching on" : "Switching off") : off ? "Switch on" : "Switch off");
  setHref(history, address("history", { camera: tile.key }));
}

async function attempt(what) {
  try {
    await what();
  } catch (error) {
    tell(error.message, "bad");
  }
}

async function toggle(tile) {
  const on = isOff(tile);
  tile.turning = { on, at: performance.now() };
  renderActs(tile, tile.turning.at);
  try {
    await setCamera(tile, { on });
    tell(`${fullName(tile.agent, tile.camera)} is being switched ${on ? "on" : "off"}`);
  } catch (error) {
    tile.turning = null;
    throw error;
  }
}

/** The newest frame as a file; a camera that is off is asked for one first. */
async function takeSnapshot(tile) {
  if (isOff(tile) && mayControl(tile)) {
    const before = tile.drawn;
    await askForSnapshot(tile);
    await until(() => tile.drawn > before);
  }
  if (!tile.frame) throw new Error(`${fullName(tile.agent, tile.camera)} has given no frame yet`);
  const link = document.createElement("a");
  link.href = `${frameOf(tile)}?download`;
  link.download = "";
  link.click();
  tell(`The newest frame of ${fullName(tile.agent, tile.camera)} is saved as a file`);
}

function until(isSo) {
  const end = performance.now() + SNAPSHOT_MS;
  return new Promise((done, fail) => {
    const timer = setInterval(() => {
      if (!isSo() && performance.now() < end) return;
      clearInterval(timer);
      if (isSo()) done();
      else fail(new Error("The camera gave no frame within 10 s"));
    }, LOOK_MS);
  });
}
