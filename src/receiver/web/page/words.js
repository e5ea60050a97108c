// How times, numbers and names are said.

const DECIMALS = { "°C": 1, "°F": 1, K: 1, hPa: 0, "%": 0, "%RH": 0, ppm: 0, ppb: 0, lx: 0 };

const TO_THE_SECOND = { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false };

export function duration(ms) {
  const seconds = Math.max(0, ms) / 1000;
  if (seconds < 10) return `${Math.max(0.1, Math.floor(seconds * 10) / 10).toFixed(1)} s`;
  if (seconds < 60) return `${Math.floor(seconds)} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours} h ${minutes % 60} min` : `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

/** A round time: 10 min, 1 h, 1 d. */
export function length(ms) {
  const [size, unit] = [[86_400_000, "d"], [3_600_000, "h"], [60_000, "min"]].find(([size]) => ms >= size) ?? [1000, "s"];
  return `${rounded(ms / size)} ${unit}`;
}

/** A moment of Date.now()'s: the time, and the day when it is not today. */
export function clock(moment) {
  const then = new Date(moment);
  const time = then.toLocaleTimeString([], TO_THE_SECOND);
  if (then.toDateString() === new Date().toDateString()) return time;
  return `${then.toLocaleDateString([], { day: "numeric", month: "short" })}, ${time}`;
}

/** Two digits of a number: more would change all the time and say nothing. */
const rounded = (number) => Number(number.toPrecision(2)).toLocaleString("en");

/** Something counted: exactly while it is few. */
export const count = (number) => (number < 1000 ? String(number) : rounded(number));

export const exactly = (number) => number.toLocaleString("en");

/** How often something comes; what is rarer than once a second is said by the time from one to the next. */
export function rate(perSecond, thing) {
  const often = rounded(perSecond), seconds = 1 / perSecond;
  if (perSecond >= 0.95) return `${often} ${often === "1" ? thing : `${thing}s`}/s`;
  return `1 ${thing} in ${seconds < 90 ? `${rounded(seconds)} s` : `${rounded(seconds / 60)} min`}`;
}

export function figure(value, unit) {
  if (!Number.isFinite(value)) return "–";
  const text = value.toFixed(decimals(value, unit));
  return Number(text) < 0 ? text.replace("-", "−") : text.replace("-", "");
}

function decimals(value, unit) {
  if (unit === "" && Number.isInteger(value)) return 0;
  if (Object.hasOwn(DECIMALS, unit)) return DECIMALS[unit];
  const size = Math.abs(value);
  return size >= 100 ? 0 : size >= 10 ? 1 : 2;
}

/** mq2 is a part and is called MQ2; other quantities are words: air_pressure is Air pressure. */
export function quantityName(quantity) {
  const words = quantity.replaceAll("_", " ").replace(/^mq(?=\d)/i, "MQ");
  return words.charAt(0).toUpperCase() + words.slice(1);
}

/** A moment of the receiver's, in microseconds since 1970: day, and time to the second, or to what is given. */
export function moment(us, options = {}) {
  const date = new Date(us / 1000);
  const year = date.getFullYear() === new Date().getFullYear() ? {} : { year: "numeric" };
  const day = date.toLocaleDateString([], { weekday: "short", day: "numeric", month: "short", ...year });
  return `${day}, ${timeOfDay(us, options)}`;
}

export const timeOfDay = (us, options = {}) =>
  new Date(us / 1000).toLocaleTimeString([], { ...TO_THE_SECOND, ...options });
