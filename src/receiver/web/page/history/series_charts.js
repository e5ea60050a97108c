// @ts-check
/** @import { Series, SeriesChart, TimeSpan, TimeTick } from "../../types.js" */

// A small chart for each chosen series, above the cameras' tracks.

import { chartData, isGap, noData, valueAt } from "../charts/chart_data.js";
import { drawPlot, writeLabels } from "../charts/drawing.js";
import { agents, chooseAgent, chosenAgent, series, seriesName } from "../charts/series.js";
import { fetchChart } from "../shared/api.js";
import { byId, closest, copyTemplate, makeButton, placeAt, resizeList, setData, setHref, setPressed, setText }
  from "../shared/dom.js";
import { valueText } from "../shared/format.js";
import { latestRequest } from "../shared/latest_request.js";
import { nowUs } from "../shared/receiver_clock.js";
import { contains, padded, widthOf } from "../shared/time_span.js";
import { viewAddress } from "../shared/views.js";
import { timeline, timelineChanged } from "./timeline.js";

const STORAGE_KEY = "watchpost.lines"; // browsers have it since the first version
const DEFAULT_COUNT = 3;
const POINTS = 1200, PADDING = 0.5;
const MAX_ZOOM = 5; // a requested span is detailed enough up to this many times the shown width

/** @type {Map<number, SeriesChart>} */
const charts = new Map();

export function listen() {
  byId("series-names").addEventListener("click", (event) => {
    const id = closest(event, "[data-id]")?.dataset.id;
    if (id) toggle(id);
  });
  agentSelect().addEventListener("change", () => chooseAgent(agentSelect().value));
}

const agentSelect = () => byId("series-agent", HTMLSelectElement);

/**
 * Returns a name that stays the same when a history is deleted and started again, unlike the series' id.
 * @param {Series} series
 */
const storedName = ({ agent, port, quantity, unit }) => [agent, port, quantity, unit].join("/");

/** @returns {unknown} */
function loadChoice() {
  try {
    return JSON.parse(localStorage.getItem(STORAGE_KEY) ?? "null");
  } catch {
    return null; // no storage, or not our value
  }
}

function chosenSeries() {
  const names = loadChoice();
  return Array.isArray(names)
    ? series.filter((one) => names.includes(storedName(one)))
    : series.slice(0, DEFAULT_COUNT);
}

/** @param {string} id */
function toggle(id) {
  const chosen = chosenSeries();
  const rest = chosen.filter((one) => String(one.id) !== id);
  const added = rest.length === chosen.length ? series.filter((one) => String(one.id) === id) : [];
  try {
    localStorage.setItem(STORAGE_KEY, JSON.stringify([...rest, ...added].map(storedName)));
  } catch {
    // Without storage the choice is not kept.
  }
  syncCharts();
}

/** Matches the charts to the chosen series. */
export function syncCharts() {
  const chosen = chosenSeries(), ids = new Set(chosen.map((one) => one.id));
  syncNames(ids);
  agentSelect().hidden = agents.length === 0;
  agentSelect().replaceChildren(...agents.map((agent) => new Option(agent, agent, false, agent === chosenAgent)));
  for (const [id, chart] of charts) {
    if (ids.has(id)) continue;
    chart.root.remove();
    charts.delete(id);
  }
  chosen.forEach((one, index) => placeAt(byId("series-charts"), index, chartOf(one).root));
  timelineChanged();
}

/** @param {Set<number>} pressed */
function syncNames(pressed) {
  const buttons = resizeList(byId("series-names"), series.length, () => makeButton());
  series.forEach((one, index) => {
    setData(buttons[index], "id", one.id);
    setText(buttons[index], seriesName(one));
    setPressed(buttons[index], pressed.has(one.id));
  });
}

/** @param {Series} one */
const chartOf = (one) => charts.get(one.id) ?? makeChart(one);

/** @param {Series} one */
function makeChart(one) {
  /** @type {SeriesChart} */
  const chart = {
    series: one, ...copyTemplate("series-chart-template"), data: noData(), requested: null, drawnFor: [],
    request: latestRequest(
      /** @param {TimeSpan} span */
      ({ from, to }) => fetchChart({ series: one.id, from_us: from, to_us: Math.min(to, nowUs()), points: POINTS }),
      (answer) => {
        chart.data = chartData(answer);
        timelineChanged();
      },
      () => (chart.requested = null),
    ),
  };
  chart.root.dataset.series = String(one.id);
  charts.set(one.id, chart);
  return chart;
}

/** @param {TimeTick[]} times */
export function drawCharts(times) {
  for (const chart of charts.values()) {
    refresh(chart, false);
    draw(chart, times);
    renderValue(chart);
  }
}

export function refreshCharts() {
  for (const chart of charts.values()) refresh(chart, true);
}

/** @param {SeriesChart} chart @param {boolean} isForced */
function refresh(chart, isForced) {
  const { span } = timeline, { requested } = chart;
  const isEnough = requested !== null && contains(requested, span.from) && contains(requested, span.to)
    && widthOf(requested) < MAX_ZOOM * widthOf(span);
  if (isEnough && !isForced) return;
  chart.requested = padded(span, PADDING);
  chart.request(chart.requested);
}

/** @param {SeriesChart} chart @param {TimeTick[]} times */
function draw(chart, times) {
  const { plot } = chart.parts;
  const inputs = [timeline.span, chart.data, plot.clientWidth, plot.clientHeight];
  if (inputs.every((one, index) => one === chart.drawnFor[index])) return;
  chart.drawnFor = inputs;
  writeLabels(chart.parts["series-ticks"], drawPlot(plot, chart.data, timeline.span, times).values);
}

/** @param {SeriesChart} chart */
function renderValue({ series: one, parts, data }) {
  const value = valueAt(data, timeline.at), { unit } = one, { span } = timeline;
  const hasRange = value !== null && value.min !== value.max;
  setText(parts["series-name"], seriesName(one));
  const range = hasRange ? `${valueText(value.min, unit)} to ${valueText(value.max, unit)}` : "";
  setText(parts["series-value"], value ? `${valueText(value.mean, unit)} ${unit}` : "–");
  setText(parts["series-spread"], isGap(data, timeline.at) ? "no reading" : range);
  const parameters = { series: one.id, width: Math.round(widthOf(span) / 1e6), to: Math.round(span.to) };
  setHref(parts["series-name"], viewAddress("chart", parameters));
}
