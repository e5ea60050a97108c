// @ts-check
// Shows one tile over the whole window, and switches to its neighbours.

import { byId, closest, isHandledElsewhere } from "../shared/dom.js";
import { isShown } from "../shared/views.js";

/** @type {Record<string, number>} */
const STEPS = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 };

/** @type {HTMLElement | null} */
let enlarged = null;

const tileElements = () => /** @type {HTMLElement[]} */ ([...byId("cameras").children]);

export function listen() {
  byId("cameras").addEventListener("click", onClick);
  byId("previous").addEventListener("click", () => step(-1));
  byId("next").addEventListener("click", () => step(1));
  byId("close").addEventListener("click", () => enlarge(null));
  document.addEventListener("keydown", onKey);
}

/** Call after tiles were added or removed: a new one must not get the focus, and the enlarged one may be gone. */
export function updateEnlarged() {
  if (!enlarged) return;
  if (!enlarged.isConnected) enlarged = null;
  render();
}

export const enlargedTile = () => enlarged;

/** @param {MouseEvent} event */
function onClick(event) {
  const tile = closest(event, ".tile");
  const isOtherAction = closest(event, ".actions") !== null && closest(event, "[data-action=enlarge]") === null;
  if (tile && !isOtherAction) enlarge(tile === enlarged ? null : tile);
}

/** @param {KeyboardEvent} event */
function onKey(event) {
  if (isHandledElsewhere(event) || !isShown("now")) return;
  const { key, target } = event;
  if (key === "Enter" && target instanceof HTMLElement && target.matches(".tile")) enlarge(target);
  else if (enlarged && key === "Escape") enlarge(null);
  else if (enlarged && key in STEPS) step(STEPS[key]);
  else return;
  event.preventDefault(); // otherwise Enter also presses the button that now has the focus
}

/** @param {number} by */
function step(by) {
  const tiles = tileElements();
  const index = tiles.findIndex((tile) => tile === enlarged) + by + tiles.length;
  enlarge(tiles[index % tiles.length]);
}

/**
 * Enlarges a tile's element; null returns to all tiles.
 * @param {HTMLElement | null} tile
 */
export function enlarge(tile) {
  const focused = tile ?? enlarged;
  if (!focused) return;
  enlarged = tile;
  render();
  const stage = focused.querySelector(".stage");
  if (stage instanceof HTMLElement) stage.focus({ preventScroll: true });
}

function render() {
  const tiles = tileElements();
  for (const tile of tiles) {
    tile.toggleAttribute("data-large", tile === enlarged);
    tile.inert = enlarged !== null && tile !== enlarged;
  }
  byId("top").inert = byId("panel").inert = enlarged !== null;
  byId("large-controls").hidden = enlarged === null;
  byId("previous").hidden = byId("next").hidden = tiles.length < 2;
}
