// @ts-check
/** @import { TimeSpan, TimeTick, ValueTick } from "../../types.js" */

// The ticks of an axis at round values: local times or numbers.

import { DAY, HOUR, MINUTE, SECOND } from "../shared/time_span.js";

const STEPS = [
  ...[1, 2, 5, 10, 15, 30].map((n) => n * SECOND), ...[1, 2, 5, 10, 15, 30].map((n) => n * MINUTE),
  ...[1, 2, 3, 6, 12].map((n) => n * HOUR),
];
const DAYS = [1, 2, 7, 14];
const MONTHS = [1, 2, 3, 6, 12, 24];
const MONTH = 30.4 * DAY;
const DAY_MS = 86_400_000;

/** @typedef {(date: Date) => string} Format */

/** @param {Intl.DateTimeFormatOptions} options @returns {Format} */
const format = (options) => (date) => date.toLocaleString([], { hour12: false, ...options });
const minute = format({ hour: "2-digit", minute: "2-digit" });
const second = format({ hour: "2-digit", minute: "2-digit", second: "2-digit" });
const day = format({ day: "numeric", month: "short" });
const month = format({ month: "short" });
const year = format({ year: "numeric" });

/**
 * Returns at most about `maxTicks` ticks.
 * @param {TimeSpan} span @param {number} maxTicks
 */
export function timeTicks({ from, to }, maxTicks) {
  const minStep = (to - from) / Math.max(1, maxTicks);
  return ticksBy(from, to, minStep).filter(({ us }) => from <= us && us <= to);
}

/** @param {number} from @param {number} to @param {number} minStep */
function ticksBy(from, to, minStep) {
  const step = STEPS.find((step) => step >= minStep);
  if (step) return midnights(from, to, 1).flatMap((midnight) => ticksOfDay(midnight, step, from, to));
  const days = DAYS.find((days) => days * DAY >= minStep);
  if (days) return midnights(from, to, days).map((us) => tick(us, day, false));
  const months = MONTHS.find((months) => months * MONTH >= minStep) ?? MONTHS[MONTHS.length - 1];
  return ticksOfMonths(from, to, months);
}

/** @param {number} midnight @param {number} step @param {number} from @param {number} to */
function ticksOfDay(midnight, step, from, to) {
  const ticks = midnight >= from ? [tick(midnight, day, true)] : [];
  const end = Math.min(to, nextMidnight(midnight, 1));
  // Steps count from local midnight: on the day of a clock change, ticks after it are an hour off round times.
  for (let n = Math.max(1, Math.ceil((from - midnight) / step)); midnight + n * step < end; n++) {
    ticks.push(tick(midnight + n * step, step < MINUTE ? second : minute, false));
  }
  return ticks;
}

/** @param {number} us @param {Format} format @param {boolean} first @returns {TimeTick} */
const tick = (us, format, first) => ({ us, text: format(new Date(us / 1000)), first });

/** @param {number} us @param {number} days */
function nextMidnight(us, days) {
  const date = new Date(us / 1000);
  date.setDate(date.getDate() + days);
  // Where clocks change at midnight, that day starts at one o'clock, but the next one does not.
  return date.setHours(0, 0, 0, 0) * 1000;
}

/**
 * Returns every so many local midnights. They count from a fixed day, so that ticks move with a span that is dragged.
 * @param {number} from @param {number} to @param {number} days
 */
function midnights(from, to, days) {
  const found = [];
  for (let us = new Date(from / 1000).setHours(0, 0, 0, 0) * 1000; us <= to; us = nextMidnight(us, 1)) {
    const date = new Date(us / 1000);
    const number = Math.round(Date.UTC(date.getFullYear(), date.getMonth(), date.getDate()) / DAY_MS);
    // 1970 started on a Thursday; weeks start on Mondays.
    if ((number + 3) % days === 0) found.push(us);
  }
  return found;
}

/** @param {number} from @param {number} to @param {number} months */
function ticksOfMonths(from, to, months) {
  const ticks = [];
  const start = new Date(from / 1000);
  for (let date = new Date(start.getFullYear(), 0, 1); date.getTime() * 1000 <= to; addMonths(date, months)) {
    const first = date.getMonth() === 0;
    ticks.push(tick(date.getTime() * 1000, first ? year : month, first));
  }
  return ticks;
}

/** @param {Date} date @param {number} months */
const addMonths = (date, months) => date.setMonth(date.getMonth() + months);

/**
 * Returns at most about `maxTicks` round numbers between low and high.
 * @param {[number, number]} range @param {number} maxTicks
 */
export function valueTicks([low, high], maxTicks) {
  const minStep = (high - low) / Math.max(1, maxTicks);
  const power = 10 ** Math.floor(Math.log10(minStep));
  const step = [1, 2, 5].map((n) => n * power).find((step) => step >= minStep * 0.999) ?? 10 * power;
  const decimals = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
  /** @type {ValueTick[]} */
  const ticks = [];
  for (let n = Math.ceil(low / step); n * step <= high; n++) {
    ticks.push({ value: n * step, text: (n * step).toFixed(decimals).replace("-", "−") });
  }
  return ticks;
}
