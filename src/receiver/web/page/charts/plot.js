// @ts-check
/** @import { Point } from "../../types.js" */

// Turns a series' points into the SVG paths of a line and of the band from minimum to maximum.

const MIN_GAP_US = 15e6;
const MIN_RANGE_PART = 0.02; // of the largest value

/**
 * Returns the distance in time above which two points are not joined: three times the usual one.
 * @param {Point[]} points @param {number} stepUs
 */
export function gapOf(points, stepUs) {
  const distances = points.slice(1).map(([at], index) => at - points[index][0]).sort((a, b) => a - b);
  const usual = distances[distances.length >> 1] ?? 0;
  return Math.max(3 * usual, stepUs > 0 ? 1.5 * stepUs : MIN_GAP_US);
}

/**
 * Splits the points at the gaps.
 * @param {Point[]} points @param {number} gapUs
 */
export function runs(points, gapUs) {
  /** @type {Point[][]} */
  const found = [];
  points.forEach((point, index) => {
    if (index === 0 || point[0] - points[index - 1][0] > gapUs) found.push([]);
    found[found.length - 1].push(point);
  });
  return found;
}

/**
 * Returns the lowest and highest value, at least `minRange` apart. Otherwise the noise of a steady reading would be
 * magnified.
 * @param {Point[]} points @param {number} minRange
 * @returns {[number, number]}
 */
export function valueRange(points, minRange) {
  let low = Infinity, high = -Infinity;
  for (const [, min, max] of points) {
    low = Math.min(low, min);
    high = Math.max(high, max);
  }
  if (low > high) return [0, 1];
  const missing = Math.max(0, Math.max(minRange, Math.abs(high) * MIN_RANGE_PART) - (high - low)) / 2;
  return [low - missing, high + missing];
}

/**
 * Returns the paths. `x` maps a time and `y` a value to a coordinate; a bucket is drawn at its middle.
 * @param {Point[]} points
 * @param {{ stepUs: number, gapUs: number, x: (us: number) => number, y: (value: number) => number }} scale
 */
export function paths(points, { stepUs, gapUs, x, y }) {
  /** @param {number} us */
  const middle = (us) => x(us + stepUs / 2).toFixed(1);
  /** @param {number} us @param {number} value */
  const at = (us, value) => `${middle(us)} ${y(value).toFixed(1)}`;
  const all = runs(points, gapUs);
  // A single point is a dot: a line without length that has round ends.
  /** @param {Point[]} run */
  const line = (run) => `M${run.map(([us, , , mean]) => at(us, mean)).join("L")}${run.length === 1 ? "h0.01" : ""}`;
  /** @param {Point[]} run */
  const band = (run) => {
    const above = run.map(([us, , max]) => at(us, max)), below = run.map(([us, min]) => at(us, min)).reverse();
    return `M${[...above, ...below].join("L")}Z`;
  };
  /** @param {Point[]} run @param {number} floor */
  const area = (run, floor) => `${line(run)}V${floor}H${middle(run[0][0])}Z`;
  return {
    line: all.map(line).join(""),
    band: all.map(band).join(""),
    /** @param {number} floor */
    area: (floor) => all.map((run) => area(run, floor)).join(""),
  };
}
