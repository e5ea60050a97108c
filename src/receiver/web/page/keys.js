// The wall by keyboard, and what its keys are.

import { acts } from "./acts.js";
import { byId, isForOthers } from "./dom.js";
import { enlarge, largeTile } from "./large.js";
import { tiles } from "./tiles.js";
import { go, isShown } from "./view.js";

const ACTS = { s: "snapshot", o: "power", h: "history" };

export function listen() {
  document.addEventListener("keydown", onKey);
  byId("help-open").addEventListener("click", () => byId("help").showModal());
}

function onKey(event) {
  if (isForOthers(event) || event.repeat) return;
  if (event.key === "?") byId("help").showModal();
  else if (event.key === "n" && !isShown("now")) go("now");
  else if (!isShown("now") || !onWall(event.key)) return;
  event.preventDefault();
}

function onWall(key) {
  const numbered = byId("cameras").children[Number(key) - 1];
  if (/^[1-9]$/.test(key) && numbered) enlarge(numbered);
  else if (key in ACTS && meant()) acts[ACTS[key]](meant());
  else return false;
  return true;
}

/** The tile that is large, has the keyboard, is under the pointer, or is the only one. */
function meant() {
  const one = tiles.size === 1 ? byId("cameras").firstElementChild : null;
  const tile = largeTile() ?? document.activeElement.closest(".tile") ?? document.querySelector(".tile:hover") ?? one;
  return tile && tiles.get(tile.dataset.camera);
}
