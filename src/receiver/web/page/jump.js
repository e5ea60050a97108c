// The cursor's moment as fields: a date and a time of this machine's zone, to be read and to be typed.

import { byId } from "./dom.js";
import { around, widthOf } from "./span.js";
import { look, moveTo, timeline } from "./timeline.js";

export function listen() {
  byId("jump").addEventListener("submit", (event) => {
    event.preventDefault();
    jump();
  });
  for (const id of ["jump-date", "jump-time"]) byId(id).addEventListener("change", jump);
}

function jump() {
  const moment = new Date(`${byId("jump-date").value}T${byId("jump-time").value}`).getTime();
  if (!Number.isFinite(moment)) return;
  look(around(moment * 1000, widthOf(timeline.span)));
  moveTo(moment * 1000);
}

export function renderJump() {
  const date = new Date(timeline.at / 1000);
  const two = (number) => String(number).padStart(2, "0");
  write("jump-date", `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`);
  write("jump-time", `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`);
}

/** A field that is being typed into is left alone. */
function write(id, text) {
  if (document.activeElement !== byId(id) && byId(id).value !== text) byId(id).value = text;
}
