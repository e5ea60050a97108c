import assert from "node:assert/strict";
import { test } from "node:test";

import {
  firstIn, hasSpanAt, isCovered, newestEnd, nextStart, previousEnd, spansPath, thumbnailSlots,
} from "../../src/receiver/web/page/history/recorded_spans.js";

const SECOND = 1e6;
const door = { spans: [[0, 10 * SECOND], [60 * SECOND, 70 * SECOND]] };
const yard = { spans: [[20 * SECOND, 80 * SECOND]] };
const empty = { spans: [] };

test("a span includes both of its ends", () => {
  assert.ok(hasSpanAt(door, 0) && hasSpanAt(door, 10 * SECOND));
  assert.ok(!hasSpanAt(door, 10 * SECOND + 1) && !hasSpanAt(empty, 0));
});

test("the last frame of a span lasts two seconds", () => {
  assert.ok(isCovered(door, 12 * SECOND));
  assert.ok(!isCovered(door, 12 * SECOND + 1));
  assert.ok(!isCovered(door, 60 * SECOND - 1));
});

test("footage of several cameras is searched together", () => {
  assert.equal(newestEnd([door, yard]), 80 * SECOND);
  assert.equal(nextStart([door, yard], 10 * SECOND), 20 * SECOND);
  assert.equal(nextStart([door, yard], 60 * SECOND), Infinity);
  assert.equal(nextStart([door], -Infinity), 0);
});

test("without footage there is no end and no start", () => {
  assert.equal(newestEnd([]), -Infinity);
  assert.equal(newestEnd([empty]), -Infinity);
  assert.equal(nextStart([empty], 0), Infinity);
  assert.equal(previousEnd(empty, 0), -Infinity);
});

test("the previous end lies before the time", () => {
  assert.equal(previousEnd(door, 60 * SECOND), 10 * SECOND);
  assert.equal(previousEnd(door, 10 * SECOND), -Infinity);
});

test("the first recorded time of a slot is inside the slot", () => {
  assert.equal(firstIn(door, { from: 5 * SECOND, to: 8 * SECOND }), 5 * SECOND);
  assert.equal(firstIn(door, { from: 55 * SECOND, to: 65 * SECOND }), 60 * SECOND);
  assert.equal(firstIn(door, { from: 20 * SECOND, to: 60 * SECOND }), null, "a slot excludes its end");
});

test("slots cover the span and are wide enough", () => {
  for (const minWidth of [0.3, 1, 1.2, 1.6, 7, 600, 1e5].map((seconds) => seconds * SECOND)) {
    const span = { from: 1_000_007 * SECOND, to: 1_000_007 * SECOND + 10 * minWidth };
    const slots = thumbnailSlots(span, minWidth), [{ from, to }] = slots;
    assert.ok(to - from >= minWidth && to - from <= 2 * minWidth, `${minWidth}: ${to - from}`);
    assert.ok(from <= span.from && slots[slots.length - 1].to >= span.to, `${minWidth}: covers`);
    slots.slice(1).forEach((slot, index) => assert.equal(slot.from, slots[index].to));
  }
});

test("slots stay in place when the span moves", () => {
  const width = 3 * SECOND;
  const before = thumbnailSlots({ from: 100 * SECOND, to: 130 * SECOND }, width);
  const after = thumbnailSlots({ from: 101 * SECOND, to: 131 * SECOND }, width);
  const common = after.filter(({ from }) => before.some((slot) => slot.from === from));
  assert.ok(common.length >= after.length - 1);
});

test("an area without width has no slots", () => {
  assert.deepEqual(thumbnailSlots({ from: 0, to: SECOND }, Infinity), []);
  assert.deepEqual(thumbnailSlots({ from: 0, to: SECOND }, NaN), []);
});

test("the path clips spans and shows short ones", () => {
  const shown = { from: 5 * SECOND, to: 105 * SECOND };
  assert.equal(spansPath(door, shown, 100), "M0.0 0H5.0V99H0.0ZM55.0 0H65.0V99H55.0Z");
  assert.equal(spansPath({ spans: [[50 * SECOND, 50 * SECOND]] }, shown, 100), "M45.0 0H46.0V99H45.0Z");
  assert.equal(spansPath({ spans: [[200 * SECOND, 300 * SECOND]] }, shown, 100), "");
  assert.equal(spansPath(empty, shown, 100), "");
});
