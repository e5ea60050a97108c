// @ts-check
// Sizes the wall's tiles to the window, and puts the readings below them or to their right.

import { byId, remInPixels, setData } from "../shared/dom.js";
import { GAP, MARGIN, SIDE, layOutTiles } from "../shared/tile_grid.js";
import { hasPortRows, wall } from "../shared/wall.js";
import { cards } from "./reading_cards.js";
import { tiles } from "./tiles.js";

// In rem: the width of readings that are below the tiles, and the heights of an agent's row and a port's row.
const READABLE = 60, AGENT_ROW = 2.25, PORT_ROW = 2.15;
const MIN_ASPECT = 4 / 3, MAX_ASPECT = 16 / 9;

let laidOutFor = "";

export function layOut() {
  const rem = remInPixels();
  // The body's width is the same with and without a scrollbar; the window's would make the layout alternate.
  const width = document.body.clientWidth / rem, height = innerHeight / rem;
  const count = tiles.size, aspect = commonAspect(), footer = footerHeight();
  const situation = [count, cards.size, footer, aspect, width, height].join();
  if (situation === laidOutFor) return;
  laidOutFor = situation;
  const rows = wall.agents.some(hasPortRows);
  const { columns, tile, layout } = layOutTiles({ count, aspect, width, height, footer, hasPortRows: rows });
  const grid = columns * (tile + GAP) - GAP;
  const content = layout === "side" ? grid + GAP + SIDE : Math.max(grid, Math.min(READABLE, width - 2 * MARGIN));
  const sizes = { columns, aspect, readings: cards.size, tile: `${tile}rem`, content: `${content}rem` };
  const { style } = document.documentElement;
  for (const [name, value] of Object.entries(sizes)) style.setProperty(`--${name}`, String(value));
  setData(byId("main"), "layout", layout);
}

function commonAspect() {
  const known = [...tiles.values()].flatMap(({ size }) => (size ? [size.width / size.height] : []));
  return known.length ? Math.min(MAX_ASPECT, Math.max(MIN_ASPECT, Math.min(...known))) : MIN_ASPECT;
}

function footerHeight() {
  const rows = wall.agents.filter(hasPortRows).reduce((sum, agent) => sum + agent.ports.length, 0);
  return wall.agents.length * AGENT_ROW + rows * PORT_ROW;
}
