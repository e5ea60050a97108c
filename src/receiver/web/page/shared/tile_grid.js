// @ts-check
// How many columns of tiles fit a space, and how wide they are. All lengths are in rem.

// page.css and live.css have the same gap, caption and side width.
export const GAP = 1, SIDE = 23, MARGIN = 1.5;
const CAPTION = 3, HEADER = 4, MIN_TILE = 20;
const READINGS_ROW = 13.25; // below the tiles
const MOMENT_GAP = 0.75; // as in history.css
const MOMENT_ASPECT = 4 / 3;

/**
 * @typedef {object} Grid
 * @property {number} columns
 * @property {number} tile a tile's width
 * @property {"side" | "stacked"} layout whether the readings are to the right of the tiles or below them
 */

/**
 * Lays out the wall's tiles so that they are as large as possible without scrolling.
 * @param {object} wall
 * @param {number} wall.count of tiles
 * @param {number} wall.aspect of a picture
 * @param {number} wall.width of the window
 * @param {number} wall.height of the window
 * @param {number} wall.footer the height of the agents' rows
 * @param {boolean} wall.hasPortRows whether the footer is below the tiles in the side layout too
 * @returns {Grid}
 */
export function layOutTiles({ count, aspect, width, height, footer, hasPortRows }) {
  if (count === 0) return { columns: 1, tile: 0, layout: "stacked" };
  const room = width - 2 * MARGIN;
  const stacked = fit(count, aspect, room, height - HEADER - READINGS_ROW - footer);
  const side = fit(count, aspect, room - SIDE - GAP, height - HEADER - MARGIN - (hasPortRows ? footer : 0));
  // The side layout may leave empty space below the tiles; larger tiles have to make up for it.
  const worth = side.tile * side.filled ** 0.25;
  /** @type {Grid} */
  const best = worth > stacked.tile ? { ...side, layout: "side" } : { ...stacked, layout: "stacked" };
  return best.tile >= MIN_TILE ? best : scrolling(count, room);
}

/** @param {number} count @param {number} aspect @param {number} width @param {number} height */
function fit(count, aspect, width, height) {
  let best = { tile: 0, filled: 0, score: 0, columns: 1 };
  for (let columns = 1; columns <= count; columns++) {
    const rows = Math.ceil(count / columns);
    const wide = (width - (columns - 1) * GAP) / columns;
    const tall = ((height - (rows - 1) * GAP) / rows - CAPTION) * aspect;
    const tile = Math.min(wide, tall);
    // Large pictures come first; of two similar sizes, the one that leaves less of the width empty.
    const score = tile * Math.sqrt(tile / wide);
    const filled = (rows * (tile / aspect + CAPTION + GAP) - GAP) / height;
    if (score > best.score) best = { tile, filled, score, columns };
  }
  return best;
}

/**
 * There is too little room for all tiles at once: they get a readable width and the page scrolls.
 * @param {number} count @param {number} room @returns {Grid}
 */
function scrolling(count, room) {
  const maxColumns = Math.max(1, Math.floor((room + GAP) / (MIN_TILE + GAP)));
  const columns = Math.ceil(count / Math.ceil(count / maxColumns));
  return { columns, tile: (room - (columns - 1) * GAP) / columns, layout: "stacked" };
}

/**
 * Lays out the history's pictures so that they are as large as fits into a box.
 * @param {number} count @param {number} width @param {number} height
 */
export function layOutMoments(count, width, height) {
  let best = { columns: 1, tile: 0 };
  for (let columns = 1; columns <= count; columns++) {
    const rows = Math.ceil(count / columns);
    const wide = (width + MOMENT_GAP) / columns - MOMENT_GAP;
    const tall = ((height + MOMENT_GAP) / rows - MOMENT_GAP) * MOMENT_ASPECT;
    const tile = Math.min(wide, tall);
    if (tile > best.tile) best = { columns, tile };
  }
  return best;
}
