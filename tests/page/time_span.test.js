import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";

import { learnOffset, nowUs } from "../../src/receiver/web/page/shared/receiver_clock.js";
import {
  DAY, HOUR, MINUTE, SECOND, around, contains, followsNow, hasWidth, limited, middleOf, moved, padded, partAt,
  percentAt, spread, upToNow, usAt, widthOf, zoomed,
} from "../../src/receiver/web/page/shared/time_span.js";

const NOW_MS = Date.UTC(2026, 5, 15, 12);
const NOW = NOW_MS * 1000;

beforeEach(() => {
  Date.now = () => NOW_MS;
  learnOffset(new Date(NOW_MS).toUTCString());
});

test("the receiver's clock is used if it differs by seconds", () => {
  learnOffset(new Date(NOW_MS + 1_000).toUTCString());
  assert.equal(nowUs(), NOW);
  learnOffset(new Date(NOW_MS - 3_600_000).toUTCString());
  assert.equal(nowUs(), NOW - HOUR);
  for (const date of [null, "", "yesterday"]) learnOffset(date);
  assert.equal(nowUs(), NOW - HOUR);
});

test("parts and times of a span are inverse", () => {
  const span = { from: 100, to: 300 };
  assert.equal(usAt(span, 0.25), 150);
  assert.equal(partAt(span, 150), 0.25);
  assert.equal(middleOf(span), 200);
  assert.ok(contains(span, 100) && contains(span, 300) && !contains(span, 301));
});

test("a span up to now leaves room on its right", () => {
  const span = upToNow(HOUR);
  assert.equal(widthOf(span), HOUR);
  assert.equal(span.to, NOW + 0.02 * HOUR);
  assert.ok(followsNow(span));
});

test("a span is moved back from the future and keeps its width", () => {
  const span = moved(upToNow(HOUR), DAY);
  assert.deepEqual(span, upToNow(HOUR));
  const past = moved(span, -DAY);
  assert.equal(past.to, span.to - DAY);
  assert.ok(!followsNow(past));
});

test("widths are limited to two seconds and five years", () => {
  assert.equal(widthOf(around(NOW - HOUR, 1)), 2 * SECOND);
  assert.equal(widthOf(limited({ from: NOW - 100 * 365 * DAY, to: NOW })), 5 * 365 * DAY);
  const reversed = limited({ from: NOW - HOUR, to: NOW - DAY });
  assert.equal(widthOf(reversed), 2 * SECOND);
});

test("zooming keeps the time under the pointer in place", () => {
  const span = { from: NOW - 2 * HOUR, to: NOW - HOUR };
  const us = usAt(span, 0.3);
  for (const factor of [0.5, 0.01, 1]) {
    const zoom = zoomed(span, us, factor);
    assert.ok(Math.abs(partAt(zoom, us) - 0.3) < 1e-6, `factor ${factor}`);
    assert.ok(Math.abs(widthOf(zoom) - factor * HOUR) < 1, `factor ${factor}`);
  }
  assert.equal(widthOf(zoomed(span, us, 1e-9)), 2 * SECOND);
});

test("zooming out near now does not show the future", () => {
  const zoom = zoomed(upToNow(HOUR), NOW - HOUR / 2, 4);
  assert.equal(widthOf(zoom), 4 * HOUR);
  assert.equal(zoom.to, NOW + 0.02 * 4 * HOUR);
});

test("padding does not reach before 1970", () => {
  assert.deepEqual(padded({ from: 100, to: 300 }, 0.5), { from: 0, to: 400 });
  assert.deepEqual(padded({ from: 1000, to: 3000 }, 0.5), { from: 0, to: 4000 });
});

test("a percentage exists only inside the span", () => {
  const span = { from: 0, to: 200 };
  assert.equal(percentAt(span, 50), "25.000%");
  assert.equal(percentAt(span, 0), "0.000%");
  assert.equal(percentAt(span, 200), "100.000%");
  assert.equal(percentAt(span, -1), null);
  assert.equal(percentAt(span, 201), null);
});

test("a width is recognised within one percent", () => {
  assert.ok(hasWidth({ from: 0, to: HOUR + 10 * SECOND }, HOUR));
  assert.ok(!hasWidth({ from: 0, to: HOUR + MINUTE }, HOUR));
});

test("two fingers keep their times", () => {
  const span = spread([1000, 3000], [0.25, 0.75]);
  assert.deepEqual(span, { from: 0, to: 4000 });
  assert.deepEqual(spread([3000, 1000], [0.75, 0.25]), span);
});

test("two fingers at one place give a finite span", () => {
  for (const times of [[1000, 3000], [3000, 1000], [1000, 1000]]) {
    const { from, to } = spread(times, [0.5, 0.5]);
    assert.ok(Number.isFinite(from) && Number.isFinite(to) && from <= to, `${times}: ${from} to ${to}`);
  }
});
