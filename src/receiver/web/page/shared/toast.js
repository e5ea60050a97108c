// @ts-check
/** @import { Tone } from "../../types.js" */

// A short message at the foot of the page: the result of the last action.

import { byId, setData, setText } from "./dom.js";

const SHOWN_MS = 6_000;

/** @type {ReturnType<typeof setTimeout> | undefined} */
let timer;

/** @param {string} text @param {Tone} tone */
export function showToast(text, tone = "quiet") {
  const toast = byId("toast");
  setText(toast, text);
  setData(toast, "tone", tone);
  setData(toast, "shown", true);
  clearTimeout(timer);
  timer = setTimeout(() => setData(toast, "shown", false), SHOWN_MS);
}
