// A chart drawn: the line of the means, the band from least to most, the grid behind them and the words at the axes.

import { bounds, gapOf, nearest, paths } from "./plot.js";
import { partAt } from "./span.js";
import { timeTicks, valueTicks } from "./ticks.js";

const ROOM = 0.08; // of the height, above and below
const PIXELS_A_TIME = 80, PIXELS_A_VALUE = 56, HALF_A_WORD = 20;

/** What the receiver gave, and what is to be known of it while the pointer moves. */
export function known({ points, step_us }) {
  return { points, stepUs: step_us, gapUs: gapOf(points, step_us) };
}

export const noneKnown = () => known({ points: [], step_us: 0 });

/** The point at a moment, as {us, min, max, mean}; null in a gap. */
export function pointAt({ points, stepUs, gapUs }, us) {
  return named(nearest(points, us - stepUs / 2, gapUs), stepUs);
}

/** The last point in a span, likewise; null when it has none. */
export function lastIn({ points, stepUs }, { from, to }) {
  const last = points.findLast(([us]) => us <= to);
  return last && last[0] + stepUs >= from ? named(last, stepUs) : null;
}

const named = (point, stepUs) => point && { us: point[0] + stepUs / 2, min: point[1], max: point[2], mean: point[3] };

/** Draws into an svg of a template's "plot"; gives the scale of values, value to part of the height. */
export function drawPlot(svg, data, span, times, least) {
  const { clientWidth: width, clientHeight: height } = svg;
  const shown = data.points.filter(([us]) => us + data.stepUs >= span.from && us <= span.to);
  const [low, high] = bounds(shown, least);
  const room = (high - low) * ROOM, bottom = low - room, top = high + room;
  const partOf = (value) => (top - value) / (top - bottom);
  const x = (us) => partAt(span, us) * width, y = (value) => partOf(value) * height;
  const { line, band } = paths(around(data.points, span), { ...data, x, y });
  const values = valueTicks([bottom, top], height / PIXELS_A_VALUE);
  const rows = values.map(({ value }) => `M0 ${Math.round(y(value)) + 0.5}H${width}`);
  const columns = times.map(({ us }) => `M${Math.round(x(us)) + 0.5} 0V${height}`);
  const [grid, bandPath, linePath] = svg.children;
  grid.setAttribute("d", [...rows, ...columns].join(""));
  bandPath.setAttribute("d", band);
  linePath.setAttribute("d", line);
  return { partOf, values };
}

/** The points in the span, and one on either side to lead the line out of the picture. */
function around(points, { from, to }) {
  const first = points.findIndex(([us]) => us >= from), last = points.findLastIndex(([us]) => us <= to);
  return points.slice(Math.max(0, (first < 0 ? points.length : first) - 1), last + 2);
}

export const timesFor = (span, width) => timeTicks(span, width / PIXELS_A_TIME);

/** Words along an axis: [{ words, part, first }], each as a span whose --part says where. */
export function writeTicks(axis, ticks) {
  while (axis.children.length > ticks.length) axis.lastChild.remove();
  while (axis.children.length < ticks.length) axis.append(document.createElement("span"));
  ticks.forEach(({ words, part, first = false }, index) => {
    const node = axis.children[index];
    if (node.textContent !== words) node.textContent = words;
    node.style.setProperty("--part", part.toFixed(5));
    node.classList.toggle("first", first);
  });
}

export function writeTimes(axis, span, times) {
  const edge = HALF_A_WORD / axis.clientWidth;
  const ticks = times.map((tick) => ({ ...tick, part: partAt(span, tick.us) }));
  writeTicks(axis, ticks.filter(({ part }) => part > edge && part < 1 - edge));
}
