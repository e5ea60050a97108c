// @ts-check
/** @import { ChartAnswer, ChartData, ChartValue, Point, TimeSpan } from "../../types.js" */

// A chart's points, and the value at the cursor.

import { gapOf } from "./plot.js";

/** @param {ChartAnswer} answer @returns {ChartData} */
export const chartData = ({ points, step_us }) => ({ points, stepUs: step_us, gapUs: gapOf(points, step_us) });

export const noData = () => chartData({ points: [], step_us: 0 });

/**
 * Returns the value at a time; null in a gap.
 * @param {ChartData} data @param {number} us
 */
export function valueAt({ points, stepUs, gapUs }, us) {
  const point = nearest(points, us - stepUs / 2, gapUs);
  return point && named(point, stepUs);
}

/**
 * Returns the last value in a span; null if it has none.
 * @param {ChartData} data @param {TimeSpan} span
 */
export function lastValueIn({ points, stepUs }, { from, to }) {
  const last = points.findLast(([us]) => us <= to);
  return last && last[0] + stepUs >= from ? named(last, stepUs) : null;
}

/**
 * Returns the points that a span shows.
 * @param {ChartData} data @param {TimeSpan} span
 */
export const pointsIn = ({ points, stepUs }, { from, to }) =>
  points.filter(([us]) => us + stepUs >= from && us <= to);

/**
 * Returns the points in a span and one on either side, to which the line leads out of the picture.
 * @param {Point[]} points @param {TimeSpan} span
 */
export function withNeighbours(points, { from, to }) {
  const first = points.findIndex(([us]) => us >= from), last = points.findLastIndex(([us]) => us <= to);
  return points.slice(Math.max(0, (first < 0 ? points.length : first) - 1), last + 2);
}

/**
 * Returns the point nearest to a time; null if it is farther away than a gap.
 * @param {Point[]} points @param {number} us @param {number} gapUs
 */
export function nearest(points, us, gapUs) {
  let low = 0, high = points.length - 1;
  if (high < 0) return null;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (points[middle][0] < us) low = middle + 1;
    else high = middle;
  }
  const before = points[Math.max(0, low - 1)], after = points[low];
  const point = us - before[0] < after[0] - us ? before : after;
  return Math.abs(point[0] - us) <= gapUs ? point : null;
}

/** @param {Point} point @param {number} stepUs @returns {ChartValue} */
const named = ([us, min, max, mean], stepUs) => ({ us: us + stepUs / 2, min, max, mean });
