// What the history shows: a span of time, and the moment of its cursor, which all its parts share.

import { nowUs } from "./api.js";
import { HOUR, holds, moved, upToNow, widthOf, within } from "./span.js";
import { isShown } from "./view.js";

const EDGE = 0.1; // of the width: where the cursor takes the span along when it goes on by itself

export const timeline = { span: upToNow(HOUR), at: nowUs() };

const followers = [];
let due = 0;

/** Calls back in the next frame after something changed, as often as that may be. */
export const onTimeline = (follower) => followers.push(follower);

export function look(span) {
  timeline.span = within(span);
  change();
}

/** To a moment, which is in the span afterwards. */
export function moveTo(us) {
  timeline.at = Math.min(us, nowUs());
  const { span, at } = timeline;
  const width = widthOf(span);
  if (!holds(span, at)) timeline.span = within({ from: at - width / 2, to: at + width / 2 });
  change();
}

/** As playing does: the span goes along before the cursor leaves it. */
export function glideTo(us) {
  const { span } = timeline;
  const beyond = us - (span.to - EDGE * widthOf(span));
  if (holds(span, us) && beyond > 0) timeline.span = moved(span, beyond);
  moveTo(us);
}

export function change() {
  due ||= requestAnimationFrame(() => {
    due = 0;
    if (isShown("history")) for (const follower of followers) follower();
  });
}
