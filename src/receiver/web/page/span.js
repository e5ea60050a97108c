// A span of time, { from, to } in microseconds since 1970: what a chart or timeline shows, and what moving it gives.

import { nowUs } from "./api.js";

export const SECOND = 1e6, MINUTE = 60 * SECOND, HOUR = 60 * MINUTE, DAY = 24 * HOUR;

const NARROWEST = 2 * SECOND, WIDEST = 5 * 365 * DAY;
const AHEAD = 0.02; // of the width: room between now and the right edge

export const widthOf = ({ from, to }) => to - from;
export const usAt = ({ from, to }, part) => from + part * (to - from);
export const partAt = ({ from, to }, us) => (us - from) / (to - from);
export const holds = ({ from, to }, us) => from <= us && us <= to;

/** As wide, or as wide as may be, and not beyond now. */
export function within({ from, to }) {
  const width = Math.min(WIDEST, Math.max(NARROWEST, to - from));
  const middle = (from + to) / 2;
  const end = Math.min(middle + width / 2, nowUs() + AHEAD * width);
  return { from: end - width, to: end };
}

export const upToNow = (width) => within({ from: nowUs() + AHEAD * width - width, to: nowUs() + AHEAD * width });
export const around = (us, width) => within({ from: us - width / 2, to: us + width / 2 });
export const moved = ({ from, to }, by) => within({ from: from + by, to: to + by });

/** Wider by the factor, with one moment staying where it is. */
export function zoomed(span, at, factor) {
  const width = Math.min(WIDEST, Math.max(NARROWEST, widthOf(span) * factor));
  const from = at - partAt(span, at) * width;
  return within({ from, to: from + width });
}

/** Whether the right edge is at now and goes on with it. */
export const follows = (span) => span.to >= nowUs();
