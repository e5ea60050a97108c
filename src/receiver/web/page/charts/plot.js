// @ts-check
/** @import { Point } from "../../types.js" */

// Turns the runs of a series' points into the SVG paths of lines and of the bands from minimum to maximum.

const MIN_RANGE_PART = 0.02; // of the largest value

/**
 * Splits the points at the gaps: each of these indexes begins a new run.
 * @param {Point[]} points @param {number[]} breaks
 */
export function runs(points, breaks) {
  const starts = points.length > 0 ? [0, ...breaks] : [];
  return starts.map((start, index) => points.slice(start, starts[index + 1]));
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
 * @param {Point[][]} runs
 * @param {{ stepUs: number, x: (us: number) => number, y: (value: number) => number }} scale
 */
export function paths(runs, { stepUs, x, y }) {
  /** @param {number} us */
  const middle = (us) => x(us + stepUs / 2).toFixed(1);
  /** @param {number} us @param {number} value */
  const at = (us, value) => `${middle(us)} ${y(value).toFixed(1)}`;
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
    line: runs.map(line).join(""),
    band: runs.map(band).join(""),
    /** @param {number} floor */
    area: (floor) => runs.map((run) => area(run, floor)).join(""),
  };
}
