// @ts-check
/** @import { TimeSpan } from "../../types.js" */

// The visible span of the history and the cursor's time, shared by all parts of the view.

import { nowUs } from "../shared/receiver_clock.js";
import { HOUR, around, contains, limited, moved, upToNow, widthOf } from "../shared/time_span.js";
import { isShown } from "../shared/views.js";

const EDGE = 0.1; // of the width: during playback the span moves when the cursor is this close to the right edge

export const timeline = { span: upToNow(HOUR), at: nowUs() };

/** @type {(() => void)[]} */
const listeners = [];
let renderRequest = 0;

/**
 * Calls back in the next animation frame after a change; several changes cause one call.
 * @param {() => void} listener
 */
export const onTimeline = (listener) => listeners.push(listener);

/** @param {TimeSpan} span */
export function showSpan(span) {
  timeline.span = limited(span);
  timelineChanged();
}

/**
 * Moves the cursor, and the span if the cursor would be outside.
 * @param {number} us
 */
export function moveTo(us) {
  timeline.at = Math.min(us, nowUs());
  const { span, at } = timeline;
  if (!contains(span, at)) timeline.span = around(at, widthOf(span));
  timelineChanged();
}

/**
 * Moves the cursor as playback does: the span moves before the cursor leaves it.
 * @param {number} us
 */
export function playTo(us) {
  const { span } = timeline;
  const beyond = us - (span.to - EDGE * widthOf(span));
  if (contains(span, us) && beyond > 0) timeline.span = moved(span, beyond);
  moveTo(us);
}

export function timelineChanged() {
  renderRequest ||= requestAnimationFrame(() => {
    renderRequest = 0;
    if (isShown("history")) for (const listener of listeners) listener();
  });
}
