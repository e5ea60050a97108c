import assert from "node:assert/strict";
import { test } from "node:test";

import {
  chartData, isGap, lastValueIn, nearest, noData, pointsIn, runsIn, valueAt, withNeighbours,
} from "../../src/receiver/web/page/charts/chart_data.js";
import { paths, runs, valueRange } from "../../src/receiver/web/page/charts/plot.js";

const point = (us, value = us, spread = 0) => [us, value - spread, value + spread, value];
const points = (...times) => times.map((us) => point(us));
const times = (run) => run.map(([us]) => us);
const scale = { stepUs: 0, x: (us) => us, y: (value) => 100 - value };
const data = (points, { breaks = [], step_us = 0, from_us = 0, to_us = 1_000 } = {}) =>
  chartData({ points, breaks, step_us, from_us, to_us });

test("points are split at breaks", () => {
  assert.deepEqual(runs([], []), []);
  assert.deepEqual(runs(points(0, 10, 21, 31), [2]).map(times), [[0, 10], [21, 31]]);
  assert.deepEqual(runs(points(0, 10, 20), [1, 2]).map(times), [[0], [10], [20]]);
});

test("a constant value has a range, too", () => {
  assert.deepEqual(valueRange([], 1), [0, 1]);
  assert.deepEqual(valueRange([point(0, 20), point(1, 20)], 0.5), [19.75, 20.25]);
  assert.deepEqual(valueRange([point(0, 1000)], 0.5), [990, 1010]);
  assert.deepEqual(valueRange([point(0, 10, 5)], 0.5), [5, 15]);
  assert.deepEqual(valueRange([point(0, 0)], 0.5), [-0.25, 0.25]);
});

test("each run has its own line, band and area", () => {
  const { line, band, area } = paths([[point(0, 1, 1), point(5, 2, 1)], [point(50, 3, 1)]], scale);
  assert.equal(line, "M0.0 99.0L5.0 98.0M50.0 97.0h0.01");
  assert.equal(band, "M0.0 98.0L5.0 97.0L5.0 99.0L0.0 100.0ZM50.0 96.0L50.0 98.0Z");
  assert.equal(area(24), "M0.0 99.0L5.0 98.0V24H0.0ZM50.0 97.0h0.01V24H50.0Z");
});

test("a bucket is drawn at its middle", () => {
  assert.equal(paths([points(0, 8)], { ...scale, stepUs: 4 }).line, "M2.0 100.0L10.0 92.0");
});

test("no points make empty paths", () => {
  const { line, band, area } = paths([], scale);
  assert.deepEqual([line, band, area(1)], ["", "", ""]);
});

test("the nearest point is found", () => {
  const some = points(0, 10, 30);
  for (const [us, expected] of [[-3, 0], [4, 0], [5, 10], [6, 10], [20, 30], [19, 10], [33, 30]]) {
    assert.equal(nearest(some, us)[0], expected, `at ${us}`);
  }
});

test("the cursor finds no value in a gap", () => {
  const some = data(points(10, 20, 30, 130, 140), { breaks: [3] });
  for (const [us, expected] of [
    [-1, undefined], [0, 10], [24, 20], [40, 30], [41, undefined], [80, undefined], [119, undefined], [120, 130],
    [170, 140], [171, undefined],
  ]) {
    assert.equal(valueAt(some, us)?.mean, expected, `at ${us}`);
  }
  assert.ok(isGap(some, 80) && !isGap(some, 30));
  assert.ok(!isGap(some, 1_001) && !isGap(noData(), 80), "unknown is not a gap");
});

test("a value reaches at most a third into a gap", () => {
  const hourly = data(points(0, 3_600, 3_636, 7_200), { breaks: [2] });
  assert.equal(valueAt(hourly, 3_611)?.mean, 3_600);
  assert.equal(valueAt(hourly, 3_618), null);
});

test("a value is dated at the middle of its bucket", () => {
  const minutes = data([point(0, 1, 1), point(60e6, 5, 2)], { step_us: 60e6, breaks: [1] });
  assert.deepEqual(valueAt(minutes, 80e6), { us: 90e6, min: 3, max: 7, mean: 5 });
  assert.equal(valueAt(minutes, 40e6)?.mean, 1, "40 s are in the first minute");
  assert.equal(valueAt(minutes, 600e6), null);
  assert.equal(valueAt(noData(), 0), null);
});

test("the last value of a span includes a bucket that reaches into it", () => {
  const buckets = data(points(0, 60, 120), { step_us: 60, breaks: [2] });
  assert.equal(lastValueIn(buckets, { from: 0, to: 100 })?.mean, 60);
  assert.equal(lastValueIn(buckets, { from: 150, to: 170 })?.mean, 120);
  assert.equal(lastValueIn(buckets, { from: 181, to: 200 }), null);
  assert.equal(lastValueIn(buckets, { from: -50, to: -1 }), null);
  assert.deepEqual(times(pointsIn(buckets, { from: 70, to: 100 })), [60]);
});

test("a span shows its part of each run", () => {
  const some = data(points(0, 10, 20, 100, 110, 200), { breaks: [3, 5] });
  assert.deepEqual(runsIn(some, { from: 15, to: 105 }).map(times), [[10, 20], [100, 110]]);
  assert.deepEqual(runsIn(some, { from: 12, to: 18 }).map(times), [[10, 20]]);
  assert.deepEqual(runsIn(some, { from: 30, to: 90 }), []);
});

test("a line continues beyond both edges", () => {
  const some = points(0, 10, 20, 30, 40);
  const shown = (from, to) => times(withNeighbours(some, { from, to }));
  assert.deepEqual(shown(15, 25), [10, 20, 30]);
  assert.deepEqual(shown(12, 18), [10, 20]);
  assert.deepEqual(shown(50, 60), [40]);
  assert.deepEqual(shown(-20, -10), [0]);
  assert.deepEqual(withNeighbours([], { from: 0, to: 1 }), []);
});
