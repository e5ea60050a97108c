// @ts-check
/** @import { AreaGestures, TimeSpan } from "../../types.js" */

// Pointers, wheel and fingers on an area whose width is a span of time.

import { moved, spread, usAt, widthOf, zoomed } from "./time_span.js";

const MIN_DRAG = 4; // pixels
const ZOOM_PER_PIXEL = 1.0015; // of the wheel
const PINCH_FACTOR = 5; // a touchpad reports a pinch as a wheel with Ctrl and small steps

/** @param {HTMLElement} area @param {AreaGestures} gestures */
export function addGestures(area, {
  span, show, point, pin = () => {}, hover = () => {}, leave = () => {}, zooms = () => true, marks = () => false,
  mark = () => {},
}) {
  /** @type {Map<number, number>} */
  const pressed = new Map(); // from pointer to x
  /** @type {{ x: number, us: number, isMarking: boolean, isDragged: boolean } | null} */
  let start = null;
  /** @type {[number, number] | null} */
  let pinch = null; // the times under two fingers
  /** @param {number} x */
  const part = (x) => {
    const { left, width } = area.getBoundingClientRect();
    return Math.min(1, Math.max(0, (x - left) / width));
  };
  /** @param {number} x */
  const at = (x) => usAt(span(), part(x));
  area.addEventListener("wheel", (event) => onWheel(event, area, { span, show, at, zooms }), { passive: false });
  area.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    area.setPointerCapture(event.pointerId);
    pressed.set(event.pointerId, event.clientX);
    pinch = pressed.size === 2 ? pair([...pressed.values()].map(at)) : null;
    const isFirst = pressed.size === 1;
    start = isFirst ? { x: event.clientX, us: at(event.clientX), isMarking: marks(event), isDragged: false } : null;
    if (start && !start.isMarking) point(start.us);
  });
  area.addEventListener("pointermove", (event) => {
    if (!pressed.has(event.pointerId)) return hover(at(event.clientX));
    pressed.set(event.pointerId, event.clientX);
    if (pinch) return show(spread(pinch, pair([...pressed.values()].map(part))));
    if (!start) return;
    if (!start.isMarking) return point(at(event.clientX));
    start.isDragged ||= Math.abs(event.clientX - start.x) > MIN_DRAG;
    if (start.isDragged) mark(...inOrder(start.us, at(event.clientX)), false);
  });
  /** @param {PointerEvent} event */
  const release = (event) => {
    if (!pressed.delete(event.pointerId)) return;
    if (start?.isDragged) mark(...inOrder(start.us, at(event.clientX)), true);
    else if (start && event.type === "pointerup") pin(at(event.clientX));
    start = pinch = null;
  };
  area.addEventListener("pointerup", release);
  area.addEventListener("pointercancel", release);
  area.addEventListener("pointerleave", leave);
}

/**
 * Lets an axis be dragged, and zoomed with the wheel.
 * @param {HTMLElement} axis @param {Pick<AreaGestures, "span" | "show">} gestures
 */
export function addAxisGestures(axis, { span, show }) {
  /** @type {{ x: number, span: TimeSpan } | null} */
  let start = null;
  /** @param {number} x */
  const at = (x) => usAt(span(), (x - axis.getBoundingClientRect().left) / axis.clientWidth);
  const zooms = () => true;
  axis.addEventListener("wheel", (event) => onWheel(event, axis, { span, show, at, zooms }), { passive: false });
  axis.addEventListener("pointerdown", (event) => {
    axis.setPointerCapture(event.pointerId);
    start = { x: event.clientX, span: span() };
  });
  axis.addEventListener("pointermove", ({ clientX }) => {
    if (start) show(moved(start.span, ((start.x - clientX) / axis.clientWidth) * widthOf(start.span)));
  });
  for (const end of ["pointerup", "pointercancel"]) axis.addEventListener(end, () => (start = null));
}

/**
 * @param {WheelEvent} event
 * @param {HTMLElement} area
 * @param {Required<Pick<AreaGestures, "span" | "show" | "zooms">> & { at: (x: number) => number }} gestures
 */
function onWheel(event, area, { span, show, at, zooms }) {
  const { deltaX, deltaY, clientX, ctrlKey } = event;
  const isSideways = Math.abs(deltaX) > Math.abs(deltaY);
  if (!isSideways && !ctrlKey && !zooms()) return;
  event.preventDefault();
  if (isSideways) show(moved(span(), (deltaX / area.clientWidth) * widthOf(span())));
  else show(zoomed(span(), at(clientX), ZOOM_PER_PIXEL ** (deltaY * (ctrlKey ? PINCH_FACTOR : 1))));
}

/** @param {number[]} values @returns {[number, number]} */
const pair = ([first, second]) => [first, second];

/** @param {number} a @param {number} b @returns {[number, number]} */
const inOrder = (a, b) => (a < b ? [a, b] : [b, a]);
