// @ts-check
/** @import { TimeSpan } from "../../types.js" */

// Arithmetic on spans of time, in microseconds since 1970: what a chart or the timeline shows, moved and zoomed.

import { nowUs } from "./receiver_clock.js";

export const SECOND = 1e6, MINUTE = 60 * SECOND, HOUR = 60 * MINUTE, DAY = 24 * HOUR;

const MIN_WIDTH = 2 * SECOND, MAX_WIDTH = 5 * 365 * DAY;
const FUTURE = 0.02; // of the width: the room between now and the right edge
const SAME_WIDTH = 0.01; // widths that differ by less are shown as the same

/** @param {TimeSpan} span */
export const widthOf = ({ from, to }) => to - from;

/** @param {TimeSpan} span @param {number} part of its width */
export const usAt = ({ from, to }, part) => from + part * (to - from);

/** @param {TimeSpan} span @param {number} us */
export const partAt = ({ from, to }, us) => (us - from) / (to - from);

/** @param {TimeSpan} span @param {number} us */
export const contains = ({ from, to }, us) => from <= us && us <= to;

/** @param {TimeSpan} span */
export const middleOf = ({ from, to }) => (from + to) / 2;

/** @param {TimeSpan} span @param {number} width */
export const hasWidth = (span, width) => Math.abs(widthOf(span) / width - 1) < SAME_WIDTH;

/** @param {number} width */
const limitWidth = (width) => Math.min(MAX_WIDTH, Math.max(MIN_WIDTH, width));

/**
 * Returns the span with an allowed width around the same middle, moved back if it ends after now.
 * @param {TimeSpan} span @returns {TimeSpan}
 */
export function limited(span) {
  const width = limitWidth(widthOf(span));
  const end = Math.min(middleOf(span) + width / 2, nowUs() + FUTURE * width);
  return { from: end - width, to: end };
}

/** @param {number} width */
export const upToNow = (width) => limited({ from: nowUs() + FUTURE * width - width, to: nowUs() + FUTURE * width });

/** @param {number} us @param {number} width */
export const around = (us, width) => limited({ from: us - width / 2, to: us + width / 2 });

/** @param {TimeSpan} span @param {number} by */
export const moved = ({ from, to }, by) => limited({ from: from + by, to: to + by });

/**
 * Returns a span that is wider by this factor. The time `us` stays where it is.
 * @param {TimeSpan} span @param {number} us @param {number} factor
 */
export function zoomed(span, us, factor) {
  const width = limitWidth(widthOf(span) * factor);
  const from = us - partAt(span, us) * width;
  return limited({ from, to: from + width });
}

/**
 * Returns the span with this part of its width added on either side, but not before 1970.
 * @param {TimeSpan} span @param {number} part @returns {TimeSpan}
 */
export const padded = (span, part) =>
  ({ from: Math.max(0, span.from - part * widthOf(span)), to: span.to + part * widthOf(span) });

/**
 * Whether the span reaches up to now and moves with it.
 * @param {TimeSpan} span
 */
export const followsNow = (span) => span.to >= nowUs();

/**
 * Returns where a time is in the span, as a percentage for CSS; null outside the span.
 * @param {TimeSpan} span @param {number} us
 */
export function percentAt(span, us) {
  const part = partAt(span, us);
  return part < 0 || part > 1 ? null : `${(part * 100).toFixed(3)}%`;
}

/**
 * Returns the span in which the two times [first, second] are at the parts [left, right] of the width.
 * @param {[number, number]} times @param {[number, number]} parts @returns {TimeSpan}
 */
export function spread([first, second], [left, right]) {
  const apart = Math.abs(right - left) < 0.02 ? 0.02 * Math.sign(second - first || 1) : right - left;
  const width = (second - first) / apart;
  const from = first - left * width;
  return from < from + width ? { from, to: from + width } : { from: from + width, to: from };
}
