// @ts-check
// A selected range of the timeline: to zoom to, or to download as video and readings.

import { readingsExportUrl, videoExportUrl } from "../shared/api.js";
import { byId, resizeList, setData, setHref, setText } from "../shared/dom.js";
import { dateTime, duration, timeOfDay } from "../shared/format.js";
import { percentAt } from "../shared/time_span.js";
import { fullName } from "../shared/wall.js";
import { cameras } from "./footage.js";
import { chosenCamera } from "./moments.js";
import { showSpan, timeline, timelineChanged } from "./timeline.js";

/** @type {number | null} */
let start = null; // in microseconds
/** @type {number | null} */
let end = null;

export function listen() {
  byId("selection-start").addEventListener("click", selectStart);
  byId("selection-end").addEventListener("click", selectEnd);
  byId("selection-zoom").addEventListener("click", () => {
    if (start !== null && end !== null) showSpan({ from: start, to: end });
  });
  byId("selection-clear").addEventListener("click", clearSelection);
}

/** @param {number | null} from @param {number | null} to */
export function select(from, to) {
  start = from;
  end = to;
  timelineChanged();
}

export const selectStart = () => select(timeline.at, end !== null && end > timeline.at ? end : null);
export const selectEnd = () => select(start !== null && start < timeline.at ? start : null, timeline.at);
export const clearSelection = () => select(null, null);

export function drawSelection() {
  const { span } = timeline, area = byId("history-area");
  const from = start ?? end, to = end ?? start;
  const isVisible = from !== null && to !== null && to >= span.from && from <= span.to;
  setData(area, "marked", isVisible);
  if (isVisible) {
    area.style.setProperty("--from", percentAt(span, from) ?? "0%");
    area.style.setProperty("--to", percentAt(span, to) ?? "100%");
  }
  byId("selection").hidden = from === null;
  setText(byId("selection-words"), selectionText(start, end));
  for (const id of ["selection-zoom", "selection-links"]) byId(id).hidden = start === null || end === null;
  if (start !== null && end !== null) renderLinks({ from_us: start, to_us: end });
}

/**
 * Describes the selection; one that is incomplete says what is missing.
 * @param {number | null} from @param {number | null} to
 */
export function selectionText(from, to) {
  if (from === null) return to === null ? "" : `Up to ${timeOfDay(to)}: set a start`;
  if (to === null) return `From ${timeOfDay(from)}: set an end`;
  const format = dayOf(from) === dayOf(to) ? timeOfDay : dateTime;
  return `${format(from)} to ${format(to)}, ${duration((to - from) / 1000)}`;
}

/** @param {number} us */
const dayOf = (us) => new Date(us / 1000).toDateString();

/** @param {{ from_us: number, to_us: number }} range */
function renderLinks(range) {
  const videos = [...cameras.values()]
    .filter((camera) => chosenCamera() === null || camera.key === chosenCamera())
    .filter(({ spans }) => spans.some(([from, to]) => to >= range.from_us && from <= range.to_us))
    .map((camera) => ({ text: fullName(camera.agent, camera.camera), url: videoExportUrl(camera, range) }));
  const links = [...videos, { text: "readings as CSV", url: readingsExportUrl("csv", range) }];
  const nodes = resizeList(byId("selection-links"), links.length, () => document.createElement("a"));
  links.forEach(({ text, url }, index) => {
    nodes[index].download = "";
    setText(nodes[index], text);
    setHref(nodes[index], url);
  });
}
