// A word at the foot of the page on what was just done, or why not.

import { byId, setData, setText } from "./dom.js";

const SHOWN_MS = 6_000;

let timer = 0;

export function tell(words, tone = "quiet") {
  const word = byId("word");
  setText(word, words);
  setData(word, "tone", tone);
  setData(word, "shown", true);
  clearTimeout(timer);
  timer = setTimeout(() => setData(word, "shown", false), SHOWN_MS);
}
