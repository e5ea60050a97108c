// @ts-check
// The keyboard shortcuts of the wall, and the dialog that lists them.

import { byId, isHandledElsewhere } from "../shared/dom.js";
import { isShown, openView } from "../shared/views.js";
import { actions } from "./camera_actions.js";
import { enlarge, enlargedTile } from "./enlarged_tile.js";
import { tiles } from "./tiles.js";

/** @type {Record<string, string>} */
const ACTIONS = { s: "snapshot", o: "power", h: "history" };

const showHelp = () => byId("help", HTMLDialogElement).showModal();

export function listen() {
  document.addEventListener("keydown", onKey);
  byId("help-open").addEventListener("click", showHelp);
}

/** @param {KeyboardEvent} event */
function onKey(event) {
  if (isHandledElsewhere(event) || event.repeat) return;
  if (event.key === "?") showHelp();
  else if (event.key === "n" && !isShown("now")) openView("now");
  else if (!isShown("now") || !handleOnWall(event.key)) return;
  event.preventDefault();
}

/** @param {string} key */
function handleOnWall(key) {
  const numbered = /^[1-9]$/.test(key) ? byId("cameras").children[Number(key) - 1] : null;
  const tile = key in ACTIONS ? activeTile() : null;
  if (numbered instanceof HTMLElement) enlarge(numbered);
  else if (tile) actions[ACTIONS[key]](tile);
  else return false;
  return true;
}

/** Returns the tile that is enlarged, focused or hovered, or the only one. */
function activeTile() {
  const only = tiles.size === 1 ? byId("cameras").firstElementChild : null;
  const focused = document.activeElement?.closest(".tile");
  const element = enlargedTile() ?? focused ?? document.querySelector(".tile:hover") ?? only;
  return element instanceof HTMLElement ? tiles.get(element.dataset.camera ?? "") : null;
}
