// @ts-check
/** @import { PageTime, Point, ReadingCard, Series, SparklineData } from "../../types.js" */

// A reading's last hour as a small line: the values that the history has, and those that arrived since.

import { gapOf, paths, valueRange } from "../charts/plot.js";
import { refreshSeries } from "../charts/series.js";
import { fetchChart } from "../shared/api.js";
import { nowUs } from "../shared/receiver_clock.js";
import { HOUR, MINUTE, SECOND } from "../shared/time_span.js";

const POINTS = 120;
const WIDTH = 100, HEIGHT = 24, EDGE = 2; // of the template's viewBox
const MIN_WIDTH_US = 15 * SECOND; // of the time that a new line shows
const LIVE_BUCKET_US = 5 * SECOND;
const DRAW_INTERVAL_MS = 1_000;
const REFRESH_INTERVAL_MS = 60_000, RETRY_INTERVAL_MS = 5_000;
const MIN_RANGE = 0.5; // of the values, so that noise is not magnified
const MIN_POINTS = 3;

/** @returns {SparklineData} */
export const emptySparkline = () => ({ points: [], stepUs: 0, requestedAt: -Infinity, live: [], drawnAt: 0 });

/**
 * Adds a value that just arrived; values of a few seconds share a point.
 * @param {Pick<SparklineData, "live">} sparkline @param {number} ageMs @param {number} value
 */
export function addValue({ live }, ageMs, value) {
  const at = nowUs() - ageMs * 1000, last = live.at(-1);
  if (!Number.isFinite(value) || (last && at < last[0])) return;
  if (!last || at - last[0] >= LIVE_BUCKET_US) live.push([at, value, value, value]);
  else live[live.length - 1] = [last[0], Math.min(last[1], value), Math.max(last[2], value), value];
  while (at - live[0][0] > HOUR) live.shift();
}

/**
 * Requests the last hour again once a minute.
 * @param {SparklineData} sparkline @param {Series | undefined} series @param {PageTime} at
 */
export async function refreshSparkline(sparkline, series, at) {
  if (at - sparkline.requestedAt < REFRESH_INTERVAL_MS) return;
  sparkline.requestedAt = at;
  if (!series) {
    refreshSeries();
    sparkline.requestedAt = at - REFRESH_INTERVAL_MS + RETRY_INTERVAL_MS;
    return;
  }
  const to = nowUs();
  // A series that is younger than an hour gets as many points over its shorter time.
  const from = Math.max(to - HOUR, Math.min(series.first_us, to - MINUTE));
  const query = { series: series.id, from_us: from, to_us: to, points: POINTS };
  const answer = await fetchChart(query).catch(() => null);
  if (!answer) return;
  sparkline.points = answer.points;
  sparkline.stepUs = answer.step_us;
}

/**
 * Joins the history's points of the last hour with the later ones that the page has collected.
 * @param {Pick<SparklineData, "points" | "stepUs" | "live">} sparkline @param {number} now in microseconds
 * @returns {{ stored: Point[], live: Point[] }}
 */
export function lastHour({ points, stepUs, live }, now) {
  const stored = points.filter(([us]) => now - us <= HOUR);
  const last = stored.at(-1);
  const end = last ? last[0] + stepUs : -Infinity;
  return { stored, live: live.filter(([us]) => us > end) };
}

/** @param {ReadingCard} card @param {PageTime} at */
export function drawSparkline({ parts, sparkline }, at) {
  if (at - sparkline.drawnAt < DRAW_INTERVAL_MS) return;
  sparkline.drawnAt = at;
  const now = nowUs();
  const { stored, live } = lastHour(sparkline, now);
  const points = [...stored, ...live];
  if (points.length < MIN_POINTS) return;
  const width = Math.max(MIN_WIDTH_US, now - points[0][0]);
  const [low, high] = valueRange(points, MIN_RANGE);
  /** @param {number} us */
  const x = (us) => WIDTH - ((now - us) / width) * WIDTH;
  /** @param {number} value */
  const y = (value) => HEIGHT - EDGE - ((value - low) / (high - low)) * (HEIGHT - 2 * EDGE);
  const gapUs = Math.max(gapOf(stored, sparkline.stepUs), gapOf(live, 0));
  const { line, band, area } = paths(points, { stepUs: 0, gapUs, x, y });
  parts["spark-line"].setAttribute("d", line);
  parts["spark-band"].setAttribute("d", band);
  parts["spark-area"].setAttribute("d", area(HEIGHT));
}
