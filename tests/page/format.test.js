import assert from "node:assert/strict";
import { test } from "node:test";

import {
  clock, count, dateTime, duration, exactCount, quantityName, rate, roundDuration, timeOfDay, valueText,
} from "../../src/receiver/web/page/shared/format.js";

const SECOND = 1000, MINUTE = 60 * SECOND, HOUR = 60 * MINUTE, DAY = 24 * HOUR;

test("ages keep one unit until they are hours", () => {
  const cases = [
    [-5, "0.1 s"], [0, "0.1 s"], [149, "0.1 s"], [999, "0.9 s"], [9_999, "9.9 s"], [10_000, "10 s"], [59_999, "59 s"],
    [MINUTE, "1 min"], [HOUR - 1, "59 min"], [HOUR, "1 h 0 min"], [48 * HOUR - 1, "47 h 59 min"], [2 * DAY, "2 d 0 h"],
    [3 * DAY + 5 * HOUR, "3 d 5 h"],
  ];
  for (const [ms, text] of cases) assert.equal(duration(ms), text, `${ms} ms`);
});

test("round durations use the largest unit that fits", () => {
  const cases = [[500, "0.5 s"], [10 * SECOND, "10 s"], [10 * MINUTE, "10 min"], [HOUR, "1 h"], [DAY, "1 d"],
    [91 * DAY, "91 d"], [365 * DAY, "370 d"]];
  for (const [ms, text] of cases) assert.equal(roundDuration(ms), text, `${ms} ms`);
});

test("counts are exact below a thousand", () => {
  assert.deepEqual([0, 999, 1000, 12_345, 1_987_654].map(count), ["0", "999", "1,000", "12,000", "2,000,000"]);
  assert.equal(exactCount(1_987_654), "1,987,654");
});

test("rates below one a second become a time between two", () => {
  const cases = [
    [1, "1 line/s"], [0.95, "0.95 lines/s"], [0.997, "1 line/s"], [4, "4 lines/s"], [4200, "4,200 lines/s"],
    [0.94, "1 line every 1.1 s"], [0.5, "1 line every 2 s"], [1 / 89, "1 line every 89 s"],
    [1 / 120, "1 line every 2 min"],
  ];
  for (const [perSecond, text] of cases) assert.equal(rate(perSecond, "line"), text, `${perSecond}/s`);
});

test("values have the decimals of their unit", () => {
  const cases = [
    [21.456, "°C", "21.5"], [1013.25, "hPa", "1013"], [61.4, "%RH", "61"], [-3.25, "°C", "−3.3"], [-0.04, "°C", "0.0"],
    [7, "", "7"], [0.1234, "", "0.12"], [12.345, "V", "12.3"], [123.4, "V", "123"], [-0, "", "0"],
  ];
  for (const [value, unit, text] of cases) assert.equal(valueText(value, unit), text, `${value} ${unit}`);
});

test("values that are no numbers become a dash", () => {
  for (const value of [NaN, Infinity, -Infinity, null, undefined]) assert.equal(valueText(value, "°C"), "–");
});

test("a unit named like an object's property is no special unit", () => {
  assert.equal(valueText(12.345, "constructor"), "12.3");
});

test("quantities are words, and sensor types stay capitals", () => {
  assert.equal(quantityName("air_pressure"), "Air pressure");
  assert.equal(quantityName("mq2"), "MQ2");
  assert.equal(quantityName("mq_voltage"), "Mq voltage");
  assert.equal(quantityName("Mq135_raw"), "MQ135 raw");
  assert.equal(quantityName(""), "");
});

test("a clock time has its day unless it is today", () => {
  const now = new Date();
  assert.doesNotMatch(clock(now.getTime()), /, /);
  const before = new Date(now.getFullYear(), now.getMonth(), now.getDate() - 1, 12);
  assert.match(clock(before.getTime()), /, /);
  assert.ok(clock(before.getTime()).endsWith(before.toLocaleTimeString([], {
    hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false,
  })));
});

test("a date has its year unless it is this one", () => {
  const us = (year) => new Date(year, 5, 15, 12, 34, 56, 780).getTime() * 1000;
  const year = new Date().getFullYear();
  assert.doesNotMatch(dateTime(us(year)), new RegExp(String(year)));
  assert.match(dateTime(us(year - 1)), new RegExp(String(year - 1)));
  assert.ok(dateTime(us(year)).endsWith(timeOfDay(us(year))));
  assert.match(timeOfDay(us(year), { fractionalSecondDigits: 2 }), /12:34:56\D78/);
});
