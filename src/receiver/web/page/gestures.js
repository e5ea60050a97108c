// Pointers, wheel and fingers on an area whose width is a span of time.

import { moved, partAt, usAt, widthOf, zoomed } from "./span.js";

const A_DRAG = 4; // pixels
const A_NOTCH = 1.0015; // of the wheel: this to the power of its pixels

/**
 * What an area does. span() tells what it shows, look(span) has it show another one. point(us) is where a pointer is
 * pressed or a finger is; hover(us) and leave() follow one that is not. Where marks(event) says so, a drag is
 * mark(from, to, ended); any other press ends with pin(us). zooms(): whether the wheel alone zooms, and not only with
 * Ctrl, as pinching a touchpad is told.
 */
export function listenTo(area, {
  span, look, point, pin = () => {}, hover = () => {}, leave = () => {}, zooms = () => true, marks = () => false, mark,
}) {
  const down = new Map(); // pointer to x
  let start = null, pinch = null;
  const part = (x) => {
    const { left, width } = area.getBoundingClientRect();
    return Math.min(1, Math.max(0, (x - left) / width));
  };
  const at = (x) => usAt(span(), part(x));
  area.addEventListener("wheel", (event) => onWheel(event, area, { span, look, at, zooms }), { passive: false });
  area.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    area.setPointerCapture(event.pointerId);
    down.set(event.pointerId, event.clientX);
    pinch = down.size === 2 ? [...down.values()].map(at) : null;
    start = down.size > 1 ? null : { x: event.clientX, us: at(event.clientX), marking: marks(event), dragged: false };
    if (start && !start.marking) point(start.us);
  });
  area.addEventListener("pointermove", (event) => {
    if (!down.has(event.pointerId)) return hover(at(event.clientX));
    down.set(event.pointerId, event.clientX);
    if (pinch) return look(spread(pinch, [...down.values()].map(part)));
    if (!start) return;
    if (!start.marking) return point(at(event.clientX));
    start.dragged ||= Math.abs(event.clientX - start.x) > A_DRAG;
    if (start.dragged) mark(...inOrder(start.us, at(event.clientX)), false);
  });
  const lift = (event) => {
    if (!down.delete(event.pointerId)) return;
    if (start?.dragged) mark(...inOrder(start.us, at(event.clientX)), true);
    else if (start && event.type === "pointerup") pin(at(event.clientX));
    start = pinch = null;
  };
  area.addEventListener("pointerup", lift);
  area.addEventListener("pointercancel", lift);
  area.addEventListener("pointerleave", leave);
}

/** An axis is dragged along, and zoomed by the wheel. */
export function dragAlong(axis, { span, look }) {
  let start = null;
  const at = (x) => usAt(span(), (x - axis.getBoundingClientRect().left) / axis.clientWidth);
  const zooms = () => true;
  axis.addEventListener("wheel", (event) => onWheel(event, axis, { span, look, at, zooms }), { passive: false });
  axis.addEventListener("pointerdown", (event) => {
    axis.setPointerCapture(event.pointerId);
    start = { x: event.clientX, span: span() };
  });
  axis.addEventListener("pointermove", ({ clientX }) => {
    if (start) look(moved(start.span, ((start.x - clientX) / axis.clientWidth) * widthOf(start.span)));
  });
  for (const end of ["pointerup", "pointercancel"]) axis.addEventListener(end, () => (start = null));
}

function onWheel(event, area, { span, look, at, zooms }) {
  const { deltaX, deltaY, clientX, ctrlKey } = event;
  const aside = Math.abs(deltaX) > Math.abs(deltaY);
  if (!aside && !ctrlKey && !zooms()) return;
  event.preventDefault();
  if (aside) look(moved(span(), (deltaX / area.clientWidth) * widthOf(span())));
  // A pinch on a touchpad is a wheel with small steps.
  else look(zoomed(span(), at(clientX), A_NOTCH ** (deltaY * (ctrlKey ? 5 : 1))));
}

const inOrder = (a, b) => (a < b ? [a, b] : [b, a]);

/** The span in which two moments are where two fingers are. */
function spread([first, second], [left, right]) {
  const apart = Math.abs(right - left) < 0.02 ? 0.02 * Math.sign(second - first || 1) : right - left;
  const width = (second - first) / apart;
  const from = first - left * width;
  return from < from + width ? { from, to: from + width } : { from: from + width, to: from };
}

/** In how much of the span a moment is, for CSS; null outside. */
export const percent = (span, us) => {
  const part = partAt(span, us);
  return part < 0 || part > 1 ? null : `${(part * 100).toFixed(3)}%`;
};
