// @ts-check
/** @import { LiveValue, PageTime, Point, Reading, ReadingCard, Series, SparklineData } from "../../types.js" */

// A reading's last hour as a small line: the values that the history has, and those that arrived since.

import { chartData, noData } from "../charts/chart_data.js";
import { paths, valueRange } from "../charts/plot.js";
import { refreshSeries } from "../charts/series.js";
import { fetchChart } from "../shared/api.js";
import { nowUs } from "../shared/receiver_clock.js";
import { HOUR, MINUTE, SECOND } from "../shared/time_span.js";

const POINTS = 240;
const WIDTH = 100, HEIGHT = 24, EDGE = 2; // of the template's viewBox
const MIN_WIDTH_US = 15 * SECOND; // of the time that a new line shows
const LIVE_BUCKET_US = 5 * SECOND;
const DRAW_INTERVAL_MS = 1_000;
const REFRESH_INTERVAL_MS = 60_000, RETRY_INTERVAL_MS = 5_000;
const MIN_RANGE = 0.5; // of the values, so that noise is not magnified
const MIN_POINTS = 3;

// What counts as a gap, as in src/receiver/history/gaps.rs.
const INTERVALS = 3, MIN_GAP_US = SECOND, NEIGHBOURS = 8;
const SAME_US = SECOND / 4; // the wall lists a reading again and again: the same value this much later is the same reading

/** @returns {SparklineData} */
export const emptySparkline = () => ({ stored: noData(), requestedAt: -Infinity, live: [], intervals: [], drawnAt: 0 });

/**
 * Adds a value that just arrived; values of a few seconds share a point.
 * @param {Pick<SparklineData, "live" | "intervals">} sparkline
 * @param {Pick<Reading, "age_ms" | "value" | "stale_after_ms">} reading
 */
export function addValue({ live, intervals }, { age_ms, value, stale_after_ms }) {
  const at = nowUs() - age_ms * 1000, last = live.at(-1), interval = last ? at - last.to : 0;
  if (!Number.isFinite(value) || interval < 0 || (value === last?.value && interval < SAME_US)) return;
  const limitUs = longestSilence(median(intervals), stale_after_ms * 1000), isAfterGap = interval > limitUs;
  if (last) intervals.push(interval);
  if (intervals.length > NEIGHBOURS) intervals.shift();
  if (!last || isAfterGap || at - last.from >= LIVE_BUCKET_US) {
    live.push({ from: at, to: at, min: value, max: value, value, isAfterGap, limitUs });
  } else {
    Object.assign(last, { to: at, min: Math.min(last.min, value), max: Math.max(last.max, value), value });
  }
  while (at - live[0].from > HOUR) live.shift();
}

/**
 * Returns the longest silence that is not a gap.
 * @param {number | undefined} usualUs @param {number} staleAfterUs
 */
function longestSilence(usualUs, staleAfterUs) {
  if (usualUs === undefined) return staleAfterUs;
  const few = Math.max(INTERVALS * usualUs, MIN_GAP_US);
  return staleAfterUs > 1.25 * usualUs ? Math.min(few, staleAfterUs) : few;
}

/** @param {number[]} numbers @returns {number | undefined} */
const median = (numbers) => [...numbers].sort((a, b) => a - b)[(numbers.length - 1) >> 1];

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
  if (answer) sparkline.stored = chartData(answer);
}

/**
 * Returns the history's points of the last hour and the later ones that the page has collected, in runs without a gap.
 * Their times are where they are drawn.
 * @param {Pick<SparklineData, "stored" | "live">} sparkline @param {number} now in microseconds
 */
export function lastHour({ stored: { runs: stored, stepUs, loaded }, live }, now) {
  const storedTo = loaded?.to ?? -Infinity;
  /** @param {number} us */
  const endOf = (us) => Math.min(us + stepUs, storedTo); // the last bucket is not over yet
  /** @param {Point} point @returns {Point} */
  const drawn = ([us, ...values]) => [(us + endOf(us)) / 2, ...values];
  const recent = stored.map((run) => run.filter(([us]) => now - us <= HOUR)).filter((run) => run.length > 0);
  const last = recent.at(-1)?.at(-1), runs = recent.map((run) => run.map(drawn));
  live.filter(({ to }) => to > storedTo).forEach((point, index) => {
    const isJoined = index > 0 ? !point.isAfterGap : last && point.from - endOf(last[0]) <= point.limitUs;
    if (isJoined) runs[runs.length - 1].push(pointOf(point, storedTo));
    else runs.push([pointOf(point, storedTo)]);
  });
  return runs;
}

/** @param {LiveValue} live @param {number} storedTo @returns {Point} */
const pointOf = ({ from, to, min, max, value }, storedTo) => [(Math.max(from, storedTo) + to) / 2, min, max, value];

/** @param {ReadingCard} card @param {PageTime} at */
export function drawSparkline({ parts, sparkline }, at) {
  if (at - sparkline.drawnAt < DRAW_INTERVAL_MS) return;
  sparkline.drawnAt = at;
  const now = nowUs(), runs = lastHour(sparkline, now), points = runs.flat();
  if (points.length < MIN_POINTS) return;
  const width = Math.max(MIN_WIDTH_US, now - points[0][0]);
  const [low, high] = valueRange(points, MIN_RANGE);
  /** @param {number} us */
  const x = (us) => WIDTH - ((now - us) / width) * WIDTH;
  /** @param {number} value */
  const y = (value) => HEIGHT - EDGE - ((value - low) / (high - low)) * (HEIGHT - 2 * EDGE);
  const { line, band, area } = paths(runs, { stepUs: 0, x, y });
  parts["spark-line"].setAttribute("d", line);
  parts["spark-band"].setAttribute("d", band);
  parts["spark-area"].setAttribute("d", area(HEIGHT));
}
