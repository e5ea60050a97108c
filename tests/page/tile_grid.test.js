import assert from "node:assert/strict";
import { test } from "node:test";

import { GAP, MARGIN, SIDE, layOutMoments, layOutTiles } from "../../src/receiver/web/page/shared/tile_grid.js";

const wall = { aspect: 4 / 3, width: 85, height: 40, footer: 2.25, hasPortRows: false };

test("no tiles need no room", () => {
  assert.deepEqual(layOutTiles({ ...wall, count: 0 }), { columns: 1, tile: 0, layout: "stacked" });
});

test("tiles never exceed the width", () => {
  for (let count = 1; count <= 64; count++) {
    for (const width of [24, 40, 85, 160]) {
      for (const height of [20, 40, 90]) {
        const { columns, tile, layout } = layOutTiles({ ...wall, count, width, height });
        const room = width - 2 * MARGIN - (layout === "side" ? SIDE + GAP : 0);
        const used = columns * (tile + GAP) - GAP;
        assert.ok(used <= room + 1e-9 && tile > 0, `${count} tiles at ${width}x${height}: ${used} of ${room}`);
        assert.ok(columns >= 1 && columns <= count, `${columns} columns for ${count} tiles`);
      }
    }
  }
});

test("a phone has one column and scrolls", () => {
  const { columns, tile, layout } = layOutTiles({ ...wall, count: 4, width: 24.4, height: 52 });
  assert.deepEqual({ columns, layout }, { columns: 1, layout: "stacked" });
  assert.ok(Math.abs(tile - (24.4 - 2 * MARGIN)) < 1e-9);
});

test("a wide window puts the readings beside a single tile", () => {
  assert.equal(layOutTiles({ ...wall, count: 1 }).layout, "side");
});

test("a tall window puts the readings below", () => {
  assert.equal(layOutTiles({ ...wall, count: 1, width: 60, height: 90 }).layout, "stacked");
});

test("four tiles are a square", () => {
  assert.equal(layOutTiles({ ...wall, count: 4, width: 100, height: 90 }).columns, 2);
});

test("six tiles are two rows of three", () => {
  assert.equal(layOutTiles({ ...wall, count: 6, width: 130, height: 90 }).columns, 3);
});

test("ports in rows take height from the side layout", () => {
  const tile = (hasPortRows) => layOutTiles({ ...wall, count: 1, footer: 8, hasPortRows });
  assert.deepEqual([tile(true).layout, tile(false).layout], ["side", "side"]);
  assert.ok(tile(true).tile < tile(false).tile);
});

test("scrolling rows are filled evenly", () => {
  // Five columns fit. Six tiles are two rows of three instead of a row of five and a single tile.
  assert.equal(layOutTiles({ ...wall, count: 6, width: 110, height: 20 }).columns, 3);
  assert.equal(layOutTiles({ ...wall, count: 25, width: 110, height: 20 }).columns, 5);
});

test("the history's pictures fit their box", () => {
  assert.deepEqual(layOutMoments(0, 80, 20), { columns: 1, tile: 0 });
  for (let count = 1; count <= 16; count++) {
    const { columns, tile } = layOutMoments(count, 80, 20);
    const rows = Math.ceil(count / columns);
    assert.ok(columns * (tile + 0.75) - 0.75 <= 80 + 1e-9, `${count}: width`);
    assert.ok(rows * (tile * 0.75 + 0.75) - 0.75 <= 20 + 1e-9, `${count}: height`);
  }
  assert.equal(layOutMoments(1, 80, 30).tile, 40);
});
