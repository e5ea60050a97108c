// How many columns of tiles there are, how wide, and whether the readings stand below them or beside them.

import { byId, setData } from "./dom.js";
import { cards } from "./readings.js";
import { tiles } from "./tiles.js";
import { portsInRows, wall } from "./wall.js";

// In rem; page.css has the same gap, caption and side width.
const GAP = 1, CAPTION = 3, SIDE = 23, MARGIN = 1.5, TOP = 4, SMALLEST = 20, READABLE = 60;
// Below the tiles: one row of readings, and what each agent and each port in a row of its own adds.
const BELOW = 13.25, AGENT = 2.25, PORT = 2.15;

let laidOutFor = "";

export function layOut() {
  const rem = parseFloat(getComputedStyle(document.documentElement).fontSize);
  // The body's width is the same with and without a scrollbar; else the two could take turns.
  const width = document.body.clientWidth / rem, height = innerHeight / rem;
  const count = tiles.size, aspect = commonAspect(), foot = footHeight();
  const situation = [count, cards.size, foot, aspect, width, height].join();
  if (situation === laidOutFor) return;
  laidOutFor = situation;
  const { columns, tile, layout } = choose(count, aspect, width, height, foot);
  const grid = columns * (tile + GAP) - GAP;
  const content = layout === "side" ? grid + GAP + SIDE : Math.max(grid, Math.min(READABLE, width - 2 * MARGIN));
  const sizes = { columns, aspect, readings: cards.size, tile: `${tile}rem`, content: `${content}rem` };
  for (const [name, value] of Object.entries(sizes)) document.documentElement.style.setProperty(`--${name}`, value);
  setData(byId("main"), "layout", layout);
}

function commonAspect() {
  const known = [...tiles.values()].filter((tile) => tile.size).map(({ size }) => size.width / size.height);
  return known.length ? Math.min(16 / 9, Math.max(4 / 3, Math.min(...known))) : 4 / 3;
}

function footHeight() {
  const rows = wall.agents.filter(portsInRows).reduce((sum, agent) => sum + agent.ports.length, 0);
  return wall.agents.length * AGENT + rows * PORT;
}

function choose(count, aspect, width, height, foot) {
  if (count === 0) return { columns: 1, tile: 0, layout: "stacked" };
  const room = width - 2 * MARGIN;
  const stacked = fit(count, aspect, room, height - TOP - BELOW - foot);
  // Beside the tiles stands the foot with the readings, or below them when it has rows.
  const below = wall.agents.some(portsInRows) ? foot : 0;
  const side = fit(count, aspect, room - SIDE - GAP, height - TOP - MARGIN - below);
  // Readings beside the tiles may leave a hole below them, which has to be worth it.
  const worth = side.tile * side.filled ** 0.25;
  const best = worth > stacked.tile ? { ...side, layout: "side" } : { ...stacked, layout: "stacked" };
  return best.tile >= SMALLEST ? best : scrolling(count, room);
}

function fit(count, aspect, width, height) {
  let best = { tile: 0, filled: 0, score: 0, columns: 1 };
  for (let columns = 1; columns <= count; columns++) {
    const rows = Math.ceil(count / columns);
    const wide = (width - (columns - 1) * GAP) / columns;
    const tall = ((height - (rows - 1) * GAP) / rows - CAPTION) * aspect;
    const tile = Math.min(wide, tall);
    // Large pictures first; of two about as large, the one that leaves less width unused.
    const score = tile * Math.sqrt(tile / wide);
    const filled = (rows * (tile / aspect + CAPTION + GAP) - GAP) / height;
    if (score > best.score) best = { tile, filled, score, columns };
  }
  return best;
}

/** Too little room for all at once: as large as reads well, and the page scrolls. */
function scrolling(count, room) {
  const most = Math.max(1, Math.floor((room + GAP) / (SMALLEST + GAP)));
  const columns = Math.ceil(count / Math.ceil(count / most));
  return { columns, tile: (room - (columns - 1) * GAP) / columns, layout: "stacked" };
}
