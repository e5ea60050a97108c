// @ts-check
/** @import { AxisLabel, ChartData, TimeSpan, TimeTick } from "../../types.js" */

// Draws a chart: the line of the means, the band from minimum to maximum, the grid and the axes.

import { resizeList, setText } from "../shared/dom.js";
import { partAt } from "../shared/time_span.js";
import { pointsIn, runsIn } from "./chart_data.js";
import { paths, valueRange } from "./plot.js";
import { timeTicks, valueTicks } from "./ticks.js";

const ROOM = 0.08; // of the height, above and below the values
const PIXELS_PER_TIME = 80, PIXELS_PER_VALUE = 56, HALF_A_LABEL = 20;

const MIN_RANGE = 1e-3; // of the values

/**
 * Draws into the svg of a template's class "plot". Returns the ticks of the values, and the scale: it maps a value to a
 * part of the height.
 * @param {Element} svg @param {ChartData} data @param {TimeSpan} span @param {TimeTick[]} times
 */
export function drawPlot(svg, data, span, times) {
  const { clientWidth: width, clientHeight: height } = svg;
  const [low, high] = valueRange(pointsIn(data, span), MIN_RANGE);
  const room = (high - low) * ROOM, bottom = low - room, top = high + room;
  /** @param {number} value */
  const partOf = (value) => (top - value) / (top - bottom);
  /** @param {number} us */
  const x = (us) => partAt(span, us) * width;
  /** @param {number} value */
  const y = (value) => partOf(value) * height;
  const { line, band } = paths(runsIn(data, span), { stepUs: data.stepUs, x, y });
  const values = valueTicks([bottom, top], height / PIXELS_PER_VALUE);
  const rows = values.map(({ value }) => `M0 ${Math.round(y(value)) + 0.5}H${width}`);
  const columns = times.map(({ us }) => `M${Math.round(x(us)) + 0.5} 0V${height}`);
  const [grid, bandPath, linePath] = svg.children;
  grid.setAttribute("d", [...rows, ...columns].join(""));
  bandPath.setAttribute("d", band);
  linePath.setAttribute("d", line);
  return { partOf, values: values.map(({ value, text }) => ({ text, part: partOf(value) })) };
}

/** @param {TimeSpan} span @param {number} width in pixels */
export const timesFor = (span, width) => timeTicks(span, width / PIXELS_PER_TIME);

/**
 * Writes the labels along an axis.
 * @param {HTMLElement} axis @param {AxisLabel[]} labels
 */
export function writeLabels(axis, labels) {
  const nodes = resizeList(axis, labels.length, () => document.createElement("span"));
  labels.forEach(({ text, part, first = false }, index) => {
    const node = nodes[index];
    setText(node, text);
    node.style.setProperty("--part", part.toFixed(5));
    node.classList.toggle("first", first);
  });
}

/** @param {HTMLElement} axis @param {TimeSpan} span @param {TimeTick[]} times */
export function writeTimes(axis, span, times) {
  const edge = HALF_A_LABEL / axis.clientWidth;
  const labels = times.map((tick) => ({ ...tick, part: partAt(span, tick.us) }));
  writeLabels(axis, labels.filter(({ part }) => part > edge && part < 1 - edge));
}
