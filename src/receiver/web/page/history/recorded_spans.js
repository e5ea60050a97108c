// @ts-check
/** @import { RecordedSpan, TimeSpan } from "../../types.js" */

// Arithmetic on the spans of a recording: where there is footage, where the next one starts, and where thumbnails go.

import { SECOND, partAt } from "../shared/time_span.js";

const FRAME_LASTS_US = 2e6; // how long the receiver shows a frame without a successor

/** @typedef {{ spans: RecordedSpan[] }} Recording */

/** @param {Recording} recording @param {number} us */
export const hasSpanAt = ({ spans }, us) => spans.some(([from, to]) => from <= us && us <= to);

/**
 * Whether there is a picture at a time.
 * @param {Recording} recording @param {number} us
 */
export const isCovered = ({ spans }, us) => spans.some(([from, to]) => from <= us && us <= to + FRAME_LASTS_US);

/** @param {Recording[]} recordings */
const allSpans = (recordings) => recordings.flatMap(({ spans }) => spans);

/**
 * Returns the end of the newest footage; -Infinity if there is none.
 * @param {Recording[]} recordings
 */
export const newestEnd = (recordings) => Math.max(...allSpans(recordings).map(([, to]) => to));

/**
 * Returns when the next footage after a time starts; Infinity if there is none.
 * @param {Recording[]} recordings @param {number} us
 */
export const nextStart = (recordings, us) =>
  Math.min(...allSpans(recordings).map(([from]) => from).filter((from) => from > us));

/**
 * Returns when the last footage before a time ended; -Infinity if there is none.
 * @param {Recording} recording @param {number} us
 */
export const previousEnd = ({ spans }, us) => Math.max(...spans.map(([, to]) => to).filter((to) => to < us));

/**
 * Returns the first recorded time in a slot; null if it has none.
 * @param {Recording} recording @param {TimeSpan} slot
 */
export function firstIn({ spans }, slot) {
  const span = spans.find(([from, to]) => to >= slot.from && from < slot.to);
  return span ? Math.max(span[0], slot.from) : null;
}

/**
 * Divides the span into slots for thumbnails that need `minWidth` of time each. The slots do not depend on the span's
 * start, so that thumbnails stay valid when the span moves.
 * @param {TimeSpan} span @param {number} minWidth
 */
export function thumbnailSlots({ from, to }, minWidth) {
  const power = 2 ** Math.floor(Math.log2(minWidth / SECOND)) * SECOND;
  const step = [1, 1.5].map((factor) => factor * power).find((step) => step >= minWidth) ?? 2 * power;
  /** @type {TimeSpan[]} */
  const slots = [];
  for (let at = Math.floor(from / step) * step; at < to; at += step) slots.push({ from: at, to: at + step });
  return slots;
}

/**
 * Returns the SVG path of a recording's spans: boxes at least one pixel wide.
 * @param {Recording} recording @param {TimeSpan} shown @param {number} width in pixels
 */
export function spansPath({ spans }, shown, width) {
  /** @param {number} us */
  const x = (us) => Math.min(width, Math.max(0, partAt(shown, us) * width));
  const visible = spans.filter(([from, to]) => to >= shown.from && from <= shown.to);
  const boxes = visible.map(([from, to]) => {
    const left = x(from), right = Math.max(x(to), left + 1);
    return `M${left.toFixed(1)} 0H${right.toFixed(1)}V99H${left.toFixed(1)}Z`;
  });
  return boxes.join("");
}
