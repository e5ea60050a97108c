// Where an axis has its ticks, and what they say: local time, and round numbers.

import { DAY, HOUR, MINUTE, SECOND } from "./span.js";

const STEPS = [
  ...[1, 2, 5, 10, 15, 30].map((n) => n * SECOND), ...[1, 2, 5, 10, 15, 30].map((n) => n * MINUTE),
  ...[1, 2, 3, 6, 12].map((n) => n * HOUR),
];
const DAYS = [1, 2, 7, 14];
const MONTHS = [1, 2, 3, 6, 12, 24];
const A_MONTH = 30.4 * DAY;

const words = (options) => (date) => date.toLocaleString([], { hour12: false, ...options });
const time = words({ hour: "2-digit", minute: "2-digit" });
const second = words({ hour: "2-digit", minute: "2-digit", second: "2-digit" });
const day = words({ day: "numeric", month: "short" });
const month = words({ month: "short" });
const year = words({ year: "numeric" });

/** At most so many of [{ us, words, first }]; first: a day, month or year begins. */
export function timeTicks({ from, to }, most) {
  const least = (to - from) / Math.max(1, most);
  const step = STEPS.find((step) => step >= least);
  if (step) return ofDays(from, to, 1).flatMap((midnight) => inDay(midnight, step)).filter(inside(from, to));
  const days = DAYS.find((days) => days * DAY >= least);
  if (days) return ofDays(from, to, days).map((us) => tick(us, day, false)).filter(inside(from, to));
  const months = MONTHS.find((months) => months * A_MONTH >= least) ?? MONTHS.at(-1);
  return ofMonths(from, to, months).filter(inside(from, to));

  function inDay(midnight, step) {
    const ticks = midnight >= from ? [tick(midnight, day, true)] : [];
    const end = Math.min(to, nextDay(midnight, 1));
    // From local midnight on: where clocks are changed, that day's ticks are an hour off what is round.
    for (let n = Math.max(1, Math.ceil((from - midnight) / step)); midnight + n * step < end; n++) {
      ticks.push(tick(midnight + n * step, step < MINUTE ? second : time, false));
    }
    return ticks;
  }
}

const inside = (from, to) => ({ us }) => from <= us && us <= to;
const tick = (us, words, first) => ({ us, words: words(new Date(us / 1000)), first });

function nextDay(us, days) {
  const date = new Date(us / 1000);
  date.setDate(date.getDate() + days);
  // Where clocks are changed at midnight, a day begins at one; the next one does not.
  return date.setHours(0, 0, 0, 0) * 1000;
}

/** Local midnights; every so many of them counts from the same day whatever the span, so that panning moves them. */
function ofDays(from, to, days) {
  const midnights = [];
  for (let us = new Date(from / 1000).setHours(0, 0, 0, 0) * 1000; us <= to; us = nextDay(us, 1)) {
    const date = new Date(us / 1000);
    const number = Math.round(Date.UTC(date.getFullYear(), date.getMonth(), date.getDate()) / 86_400_000);
    // 1970 began on a Thursday: weeks begin on Mondays.
    if ((number + 3) % days === 0) midnights.push(us);
  }
  return midnights;
}

function ofMonths(from, to, months) {
  const ticks = [];
  const begin = new Date(from / 1000);
  for (let date = new Date(begin.getFullYear(), 0, 1); date * 1000 <= to; date.setMonth(date.getMonth() + months)) {
    const first = date.getMonth() === 0;
    ticks.push(tick(date * 1000, first ? year : month, first));
  }
  return ticks;
}

/** Round numbers from low to high: [{ value, words }]. */
export function valueTicks([low, high], most) {
  const least = (high - low) / Math.max(1, most);
  const power = 10 ** Math.floor(Math.log10(least));
  const step = [1, 2, 5, 10].map((n) => n * power).find((step) => step >= least * 0.999);
  const decimals = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
  const ticks = [];
  for (let n = Math.ceil(low / step); n * step <= high; n++) {
    ticks.push({ value: n * step, words: (n * step).toFixed(decimals).replace("-", "−") });
  }
  return ticks;
}
