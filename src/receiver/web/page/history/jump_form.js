// @ts-check
// The cursor's date and time as fields, in this machine's time zone. Editing them moves the cursor.

import { byId } from "../shared/dom.js";
import { around, widthOf } from "../shared/time_span.js";
import { moveTo, showSpan, timeline } from "./timeline.js";

export function listen() {
  byId("jump").addEventListener("submit", (event) => {
    event.preventDefault();
    jump();
  });
  for (const id of ["jump-date", "jump-time"]) byId(id).addEventListener("change", jump);
}

/** @param {string} id */
const field = (id) => byId(id, HTMLInputElement);

function jump() {
  const ms = new Date(`${field("jump-date").value}T${field("jump-time").value}`).getTime();
  if (!Number.isFinite(ms)) return;
  showSpan(around(ms * 1000, widthOf(timeline.span)));
  moveTo(ms * 1000);
}

export function renderJumpForm() {
  const { date, time } = fieldValues(new Date(timeline.at / 1000));
  write("jump-date", date);
  write("jump-time", time);
}

/**
 * Returns a date and a time as the fields take them.
 * @param {Date} date
 */
export function fieldValues(date) {
  /** @param {number[]} numbers */
  const padded = (...numbers) => numbers.map((number) => String(number).padStart(2, "0"));
  return {
    date: [date.getFullYear(), ...padded(date.getMonth() + 1, date.getDate())].join("-"),
    time: padded(date.getHours(), date.getMinutes(), date.getSeconds()).join(":"),
  };
}

/**
 * Sets a field, unless the user is editing it.
 * @param {string} id @param {string} text
 */
function write(id, text) {
  if (document.activeElement !== field(id) && field(id).value !== text) field(id).value = text;
}
