import assert from "node:assert/strict";
import { test } from "node:test";

import {
  chartData, lastValueIn, nearest, noData, pointsIn, valueAt, withNeighbours,
} from "../../src/receiver/web/page/charts/chart_data.js";
import { gapOf, paths, runs, valueRange } from "../../src/receiver/web/page/charts/plot.js";

const point = (us, value = us, spread = 0) => [us, value - spread, value + spread, value];
const points = (...times) => times.map((us) => point(us));
const scale = { stepUs: 0, gapUs: 10, x: (us) => us, y: (value) => 100 - value };

test("a gap is three times the usual distance", () => {
  assert.equal(gapOf(points(0, 10e6, 20e6, 90e6), 0), 30e6);
  assert.equal(gapOf(points(0, 1, 2), 0), 15e6, "at least 15 s without buckets");
  assert.equal(gapOf(points(0, 60e6), 60e6), 180e6);
  assert.equal(gapOf([], 60e6), 90e6);
  assert.equal(gapOf([], 0), 15e6);
});

test("points are split at gaps", () => {
  assert.deepEqual(runs([], 10), []);
  assert.deepEqual(runs(points(0, 10, 21, 31), 10).map((run) => run.map(([us]) => us)), [[0, 10], [21, 31]]);
});

test("a constant value has a range, too", () => {
  assert.deepEqual(valueRange([], 1), [0, 1]);
  assert.deepEqual(valueRange([point(0, 20), point(1, 20)], 0.5), [19.75, 20.25]);
  assert.deepEqual(valueRange([point(0, 1000)], 0.5), [990, 1010]);
  assert.deepEqual(valueRange([point(0, 10, 5)], 0.5), [5, 15]);
  assert.deepEqual(valueRange([point(0, 0)], 0.5), [-0.25, 0.25]);
});

test("each run has its own line, band and area", () => {
  const { line, band, area } = paths([point(0, 1, 1), point(5, 2, 1), point(50, 3, 1)], scale);
  assert.equal(line, "M0.0 99.0L5.0 98.0M50.0 97.0h0.01");
  assert.equal(band, "M0.0 98.0L5.0 97.0L5.0 99.0L0.0 100.0ZM50.0 96.0L50.0 98.0Z");
  assert.equal(area(24), "M0.0 99.0L5.0 98.0V24H0.0ZM50.0 97.0h0.01V24H50.0Z");
});

test("a bucket is drawn at its middle", () => {
  assert.equal(paths(points(0, 8), { ...scale, stepUs: 4 }).line, "M2.0 100.0L10.0 92.0");
});

test("no points make empty paths", () => {
  const { line, band, area } = paths([], scale);
  assert.deepEqual([line, band, area(1)], ["", "", ""]);
});

test("the nearest point is found unless it is farther than a gap", () => {
  const some = points(0, 10, 30);
  for (const [us, expected] of [[-3, 0], [4, 0], [5, 10], [6, 10], [20, 30], [19, 10], [33, 30]]) {
    assert.equal(nearest(some, us, 10)?.[0], expected, `at ${us}`);
  }
  assert.equal(nearest(some, 41, 10), null);
  assert.equal(nearest(some, -11, 10), null);
  assert.equal(nearest([], 0, 10), null);
});

test("a value is dated at the middle of its bucket", () => {
  const data = chartData({ points: [point(0, 1, 1), point(60e6, 5, 2)], step_us: 60e6 });
  assert.deepEqual(valueAt(data, 80e6), { us: 90e6, min: 3, max: 7, mean: 5 });
  assert.equal(valueAt(data, 40e6)?.mean, 1, "40 s are in the first minute");
  assert.equal(valueAt(data, 600e6), null);
  assert.equal(valueAt(noData(), 0), null);
});

test("the last value of a span includes a bucket that reaches into it", () => {
  const data = chartData({ points: points(0, 60, 120), step_us: 60 });
  assert.equal(lastValueIn(data, { from: 0, to: 100 })?.mean, 60);
  assert.equal(lastValueIn(data, { from: 150, to: 170 })?.mean, 120);
  assert.equal(lastValueIn(data, { from: 181, to: 200 }), null);
  assert.equal(lastValueIn(data, { from: -50, to: -1 }), null);
  assert.deepEqual(pointsIn(data, { from: 70, to: 100 }).map(([us]) => us), [60]);
});

test("a line continues beyond both edges", () => {
  const some = points(0, 10, 20, 30, 40);
  const times = (from, to) => withNeighbours(some, { from, to }).map(([us]) => us);
  assert.deepEqual(times(15, 25), [10, 20, 30]);
  assert.deepEqual(times(12, 18), [10, 20]);
  assert.deepEqual(times(50, 60), [40]);
  assert.deepEqual(times(-20, -10), [0]);
  assert.deepEqual(withNeighbours([], { from: 0, to: 1 }), []);
});
