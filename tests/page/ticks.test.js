import assert from "node:assert/strict";
import { test } from "node:test";

process.env.TZ = "Europe/Berlin";

const { timeTicks, valueTicks } = await import("../../src/receiver/web/page/charts/ticks.js");

const at = (...parts) => new Date(...parts).getTime() * 1000;
const clockOf = ({ us }) => new Date(us / 1000).toTimeString().slice(0, 8);
const dateOf = ({ us }) => {
  const date = new Date(us / 1000);
  return [date.getFullYear(), date.getMonth() + 1, date.getDate()].join("-");
};

test("an hour has ticks at round minutes", () => {
  const ticks = timeTicks({ from: at(2026, 0, 5, 10, 3), to: at(2026, 0, 5, 11, 3) }, 7);
  assert.deepEqual(ticks.map(clockOf), ["10:10:00", "10:20:00", "10:30:00", "10:40:00", "10:50:00", "11:00:00"]);
  assert.ok(ticks.every(({ first }) => !first));
});

test("ticks are no more than fit", () => {
  const from = at(2026, 0, 5, 10, 3);
  for (const width of [2e6, 60e6, 3600e6, 86400e6, 7 * 86400e6, 30 * 86400e6]) {
    for (const max of [1, 3, 8]) {
      const ticks = timeTicks({ from, to: from + width }, max);
      assert.ok(ticks.length <= max + 2, `${ticks.length} ticks for ${max} in ${width} µs`);
    }
  }
});

test("midnight is labelled as a day", () => {
  const ticks = timeTicks({ from: at(2026, 0, 5, 22), to: at(2026, 0, 6, 2) }, 4);
  assert.deepEqual(ticks.map(clockOf), ["22:00:00", "23:00:00", "00:00:00", "01:00:00"]);
  assert.deepEqual(ticks.map(({ first }) => first), [false, false, true, false]);
});

test("a day with a clock change keeps its length", () => {
  // On 29 March 2026 clocks go from 2 to 3, on 25 October from 3 to 2.
  for (const [month, day, hours] of [[2, 29, 23], [9, 25, 25]]) {
    const from = at(2026, month, day), to = at(2026, month, day + 1);
    const ticks = timeTicks({ from, to }, 30);
    assert.equal((to - from) / 3600e6, hours);
    const days = ticks.filter(({ first }) => first);
    assert.deepEqual(days.map(({ us }) => us), [from, to]);
    assert.equal(ticks.length, hours + 1);
  }
});

test("weeks start on Mondays whatever the span", () => {
  for (const start of [1, 2, 3, 4]) {
    const ticks = timeTicks({ from: at(2026, 0, start), to: at(2026, 1, 10) }, 6);
    assert.ok(ticks.length >= 5);
    for (const { us } of ticks) assert.equal(new Date(us / 1000).getDay(), 1);
  }
});

test("months start on their first day and years are marked", () => {
  const ticks = timeTicks({ from: at(2025, 9, 15), to: at(2026, 3, 15) }, 7);
  assert.deepEqual(ticks.map(dateOf), ["2025-11-1", "2025-12-1", "2026-1-1", "2026-2-1", "2026-3-1", "2026-4-1"]);
  assert.deepEqual(ticks.filter(({ first }) => first).map(({ text }) => text.replace(/\D/g, "")), ["2026"]);
});

test("five years have at most one tick in two years", () => {
  const ticks = timeTicks({ from: at(2021, 5, 1), to: at(2026, 5, 1) }, 2);
  assert.ok(ticks.length >= 1 && ticks.every(({ first }) => first));
});

test("values are round and within the range", () => {
  const texts = (range, max) => valueTicks(range, max).map(({ text }) => text);
  assert.deepEqual(texts([0, 10], 5), ["0", "2", "4", "6", "8", "10"]);
  assert.deepEqual(texts([20.9, 22.1], 4), ["21.0", "21.5", "22.0"]);
  assert.deepEqual(texts([-1.2, 1.2], 3), ["−1", "0", "1"]);
  assert.deepEqual(texts([0.001, 0.0042], 4), ["0.001", "0.002", "0.003", "0.004"]);
  assert.deepEqual(texts([1000, 5000], 4), ["1000", "2000", "3000", "4000", "5000"]);
});

test("a chart without height still has value ticks", () => {
  assert.ok(valueTicks([0, 1], 0).length >= 1);
});
