// @ts-check
/** @import { ChartAnswer, ChartData, ChartValue, Point, TimeSpan } from "../../types.js" */

// A chart's points in runs without a gap, and the value at the cursor.

import { contains } from "../shared/time_span.js";
import { runs } from "./plot.js";

const INTERVALS = 3; // of a series, as in src/receiver/history/gaps.rs

/** @param {ChartAnswer} answer @returns {ChartData} */
export const chartData = ({ points, breaks, step_us, from_us, to_us }) =>
  ({ runs: runs(points, breaks), stepUs: step_us, loaded: { from: from_us, to: to_us } });

/** @returns {ChartData} */
export const noData = () => ({ runs: [], stepUs: 0, loaded: null });

/**
 * Returns the value at a time; null in a gap.
 * @param {ChartData} data @param {number} us
 */
export function valueAt({ runs, stepUs }, us) {
  const at = us - stepUs / 2; // points have the time at which their bucket starts
  const after = runs.findIndex((run) => at < run[0][0]);
  const before = after < 0 ? runs.length - 1 : after - 1;
  const run = runs[before];
  if (run && at <= run[run.length - 1][0]) return named(nearest(run, at), stepUs);
  return valueBetween(run, runs[before + 1], at, stepUs);
}

/**
 * Whether it is certain that there is no value at a time.
 * @param {ChartData} data @param {number} us
 */
export const isGap = (data, us) => data.loaded !== null && contains(data.loaded, us) && !valueAt(data, us);

/**
 * Returns the value of the nearer end of a gap if it reaches that far: over its bucket, or as far as to its neighbour,
 * but not into the middle of the gap. The last reading reaches farther, because silence becomes a gap only later.
 * @param {Point[] | undefined} before @param {Point[] | undefined} after @param {number} at @param {number} stepUs
 */
function valueBetween(before, after, at, stepUs) {
  const start = before?.at(-1)?.[0] ?? -Infinity, end = after?.[0][0] ?? Infinity;
  const run = at - start < end - at ? before : after;
  if (!run) return null;
  const [edge, neighbour] = run === before ? [run[run.length - 1], run[run.length - 2]] : run;
  const apart = (neighbour ? Math.abs(neighbour[0] - edge[0]) : stepUs) * (after || stepUs > 0 ? 1 : INTERVALS);
  const reach = Math.max(stepUs / 2, Math.min(apart, (end - start) / 3));
  return Math.abs(edge[0] - at) <= reach ? named(edge, stepUs) : null;
}

/**
 * Returns the last value in a span; null if it has none.
 * @param {ChartData} data @param {TimeSpan} span
 */
export function lastValueIn({ runs, stepUs }, { from, to }) {
  const last = runs.findLast((run) => run[0][0] <= to)?.findLast(([us]) => us <= to);
  return last && last[0] + stepUs >= from ? named(last, stepUs) : null;
}

/**
 * Returns the points that a span shows.
 * @param {ChartData} data @param {TimeSpan} span
 */
export const pointsIn = ({ runs, stepUs }, { from, to }) =>
  runs.flatMap((run) => run.filter(([us]) => us + stepUs >= from && us <= to));

/**
 * Returns what a span shows of each run.
 * @param {ChartData} data @param {TimeSpan} span
 */
export const runsIn = ({ runs, stepUs }, span) =>
  runs.filter((run) => run[run.length - 1][0] + stepUs >= span.from && run[0][0] <= span.to)
    .map((run) => withNeighbours(run, span));

/**
 * Returns the points in a span and one on either side, to which the line leads out of the picture.
 * @param {Point[]} points @param {TimeSpan} span
 */
export function withNeighbours(points, { from, to }) {
  const first = points.findIndex(([us]) => us >= from), last = points.findLastIndex(([us]) => us <= to);
  return points.slice(Math.max(0, (first < 0 ? points.length : first) - 1), last + 2);
}

/**
 * Returns the point nearest to a time.
 * @param {Point[]} points at least one @param {number} us
 */
export function nearest(points, us) {
  let low = 0, high = points.length - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (points[middle][0] < us) low = middle + 1;
    else high = middle;
  }
  const before = points[Math.max(0, low - 1)], after = points[low];
  return us - before[0] < after[0] - us ? before : after;
}

/** @param {Point} point @param {number} stepUs @returns {ChartValue} */
const named = ([us, min, max, mean], stepUs) => ({ us: us + stepUs / 2, min, max, mean });
