// @ts-check
// Times, numbers and names as text.

/** @type {Record<string, number>} */
const DECIMALS = { "°C": 1, "°F": 1, K: 1, hPa: 0, "%": 0, "%RH": 0, ppm: 0, ppb: 0, lx: 0 };

/** @type {Intl.DateTimeFormatOptions} */
const TO_THE_SECOND = { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false };

const MS_UNITS = /** @type {const} */ ([[86_400_000, "d"], [3_600_000, "h"], [60_000, "min"]]);

/** @param {number} ms */
export function duration(ms) {
  const seconds = Math.max(0, ms) / 1000;
  if (seconds < 10) return `${Math.max(0.1, Math.floor(seconds * 10) / 10).toFixed(1)} s`;
  if (seconds < 60) return `${Math.floor(seconds)} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours} h ${minutes % 60} min` : `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

/**
 * Returns a duration in its largest unit only: 10 min, 1 h, 1 d.
 * @param {number} ms
 */
export function roundDuration(ms) {
  const [size, unit] = MS_UNITS.find(([size]) => ms >= size) ?? [1000, "s"];
  return `${rounded(ms / size)} ${unit}`;
}

/**
 * Returns the time of day, with the day unless it is today.
 * @param {number} ms since 1970, by this machine's clock
 */
export function clock(ms) {
  const date = new Date(ms);
  const time = date.toLocaleTimeString([], TO_THE_SECOND);
  if (date.toDateString() === new Date().toDateString()) return time;
  return `${date.toLocaleDateString([], { day: "numeric", month: "short" })}, ${time}`;
}

/**
 * Rounds to two digits, because further digits would flicker.
 * @param {number} number
 */
const rounded = (number) => Number(number.toPrecision(2)).toLocaleString("en");

/**
 * Returns a count: exact below 1000, rounded above.
 * @param {number} number
 */
export const count = (number) => (number < 1000 ? String(number) : rounded(number));

/** @param {number} number */
export const exactCount = (number) => number.toLocaleString("en");

/**
 * Returns a rate, or the interval if the rate is below one per second.
 * @param {number} perSecond @param {string} noun
 */
export function rate(perSecond, noun) {
  const count = rounded(perSecond), seconds = 1 / perSecond;
  if (perSecond >= 0.95) return `${count} ${count === "1" ? noun : `${noun}s`}/s`;
  return `1 ${noun} every ${seconds < 90 ? `${rounded(seconds)} s` : `${rounded(seconds / 60)} min`}`;
}

/**
 * Returns a reading's value with the decimals that suit its unit.
 * @param {number} value @param {string} unit
 */
export function valueText(value, unit) {
  if (!Number.isFinite(value)) return "–";
  const text = value.toFixed(decimals(value, unit));
  return Number(text) < 0 ? text.replace("-", "−") : text.replace("-", "");
}

/** @param {number} value @param {string} unit */
function decimals(value, unit) {
  if (unit === "" && Number.isInteger(value)) return 0;
  if (Object.hasOwn(DECIMALS, unit)) return DECIMALS[unit];
  const size = Math.abs(value);
  return size >= 100 ? 0 : size >= 10 ? 1 : 2;
}

/**
 * Returns a quantity's name: air_pressure becomes Air pressure; mq2, a sensor's type, becomes MQ2.
 * @param {string} quantity
 */
export function quantityName(quantity) {
  const words = quantity.replaceAll("_", " ").replace(/^mq(?=\d)/i, "MQ");
  return words.charAt(0).toUpperCase() + words.slice(1);
}

/**
 * Returns the day and the time of day to the second, or finer if the options say so.
 * @param {number} us since 1970, by the receiver's clock
 * @param {Intl.DateTimeFormatOptions} options
 */
export function dateTime(us, options = {}) {
  const date = new Date(us / 1000);
  /** @type {Intl.DateTimeFormatOptions} */
  const year = date.getFullYear() === new Date().getFullYear() ? {} : { year: "numeric" };
  const day = date.toLocaleDateString([], { weekday: "short", day: "numeric", month: "short", ...year });
  return `${day}, ${timeOfDay(us, options)}`;
}

/** @param {number} us @param {Intl.DateTimeFormatOptions} options */
export const timeOfDay = (us, options = {}) =>
  new Date(us / 1000).toLocaleTimeString([], { ...TO_THE_SECOND, ...options });
