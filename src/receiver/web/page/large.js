// One tile over the whole window: how it comes, goes on to its neighbour, and goes.

import { byId, isForOthers } from "./dom.js";
import { isShown } from "./view.js";

const STEPS = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 };

const shown = byId("cameras").children;
let large = null; // the tile's element

export function listen() {
  byId("cameras").addEventListener("click", onClick);
  byId("previous").addEventListener("click", () => step(-1));
  byId("next").addEventListener("click", () => step(1));
  byId("close").addEventListener("click", () => enlarge(null));
  document.addEventListener("keydown", onKey);
}

/** After tiles came or went: a new one must not take the keyboard, and a large one may be gone. */
export function keepLarge() {
  if (!large) return;
  if (!large.isConnected) large = null;
  mark();
}

export const largeTile = () => large;

function onClick(event) {
  const tile = event.target.closest(".tile");
  const act = event.target.closest(".acts") && event.target.closest("[data-act=large]") === null;
  if (tile && !act) enlarge(tile === large ? null : tile);
}

function onKey(event) {
  if (isForOthers(event) || !isShown("now")) return;
  if (event.key === "Enter" && event.target.matches(".tile")) enlarge(event.target);
  else if (large && event.key === "Escape") enlarge(null);
  else if (large && event.key in STEPS) step(STEPS[event.key]);
  else return;
  event.preventDefault(); // Enter would also press the button that has the focus now
}

function step(by) {
  const index = [...shown].indexOf(large) + by + shown.length;
  enlarge(shown[index % shown.length]);
}

/** A tile's element; null takes the large one back. */
export function enlarge(tile) {
  if (!tile && !large) return;
  const focused = tile ?? large;
  large = tile;
  mark();
  focused.querySelector(".stage").focus({ preventScroll: true });
}

function mark() {
  for (const tile of shown) {
    tile.toggleAttribute("data-large", tile === large);
    tile.inert = large !== null && tile !== large;
  }
  byId("top").inert = byId("panel").inert = large !== null;
  byId("large-controls").hidden = large === null;
  byId("previous").hidden = byId("next").hidden = shown.length < 2;
}
