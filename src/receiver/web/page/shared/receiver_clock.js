// @ts-check
// The receiver's clock. Every time in the API is by this clock.

const TOLERANCE_MS = 2_000; // the Date header has a resolution of one second

let offsetMs = 0; // from this machine's clock

/** Returns the receiver's time in microseconds since 1970. */
export const nowUs = () => (Date.now() + offsetMs) * 1000;

/**
 * Learns the clock's offset from a response's Date header; ignores a missing or invalid one.
 * @param {string | null} date
 */
export function learnOffset(date) {
  const offset = Date.parse(date ?? "") - Date.now();
  if (Number.isFinite(offset)) offsetMs = Math.abs(offset) < TOLERANCE_MS ? 0 : offset;
}
