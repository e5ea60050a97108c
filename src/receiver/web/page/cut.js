// A range of the timeline, to be looked at closer or kept as a film and as numbers.

import { film, readingsAs } from "./api.js";
import { byId, setData, setHref, setText } from "./dom.js";
import { cameras } from "./footage.js";
import { percent } from "./gestures.js";
import { chosenCamera } from "./moments.js";
import { change, look, timeline } from "./timeline.js";
import { fullName } from "./wall.js";
import { duration, moment, timeOfDay } from "./words.js";

let begin = null, end = null; // in microseconds, or null

export function listen() {
  byId("cut-begin").addEventListener("click", () => cut(timeline.at, end > timeline.at ? end : null));
  byId("cut-end").addEventListener("click", () => cut(begin < timeline.at ? begin : null, timeline.at));
  byId("cut-closer").addEventListener("click", () => look({ from: begin, to: end }));
  byId("cut-clear").addEventListener("click", () => cut(null, null));
}

export function cut(from, to) {
  begin = from;
  end = to;
  change();
}

export function drawCut() {
  const { span } = timeline, area = byId("history-area");
  const whole = begin !== null && end !== null;
  const [from, to] = [begin ?? end, end ?? begin];
  const seen = from !== null && to >= span.from && from <= span.to;
  setData(area, "marked", seen);
  if (seen) {
    area.style.setProperty("--from", percent(span, from) ?? "0%");
    area.style.setProperty("--to", percent(span, to) ?? "100%");
  }
  byId("cut").hidden = from === null;
  if (from === null) return;
  const say = dayOf(from) === dayOf(to) ? timeOfDay : moment;
  setText(byId("cut-words"), whole
    ? `${say(from)} to ${say(to)}, ${duration((to - from) / 1000)}`
    : begin === null ? `Up to ${timeOfDay(end)}: mark a start` : `From ${timeOfDay(begin)}: mark an end`);
  for (const id of ["cut-closer", "cut-links"]) byId(id).hidden = !whole;
  if (whole) renderLinks({ from_us: from, to_us: to });
}

const dayOf = (us) => new Date(us / 1000).toDateString();

function renderLinks(range) {
  const films = [...cameras.values()]
    .filter((camera) => chosenCamera() === null || camera.key === chosenCamera())
    .filter(({ spans }) => spans.some(([from, to]) => to >= range.from_us && from <= range.to_us))
    .map((camera) => [fullName(camera.agent, camera.camera), film(camera, range)]);
  const links = [...films, ["readings as CSV", readingsAs("csv", range)]];
  const list = byId("cut-links");
  while (list.children.length > links.length) list.lastChild.remove();
  while (list.children.length < links.length) list.append(document.createElement("a"));
  links.forEach(([words, where], index) => {
    const link = list.children[index];
    link.download = "";
    setText(link, words);
    setHref(link, where);
  });
}
