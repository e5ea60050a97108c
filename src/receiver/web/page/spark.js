// A reading's last hour as a small line: what the history has of it, and what came since.

import { askChart, nowUs } from "./api.js";
import { bounds, gapOf, paths } from "./plot.js";
import { refreshSeries, seriesOf } from "./series.js";
import { HOUR, MINUTE, SECOND } from "./span.js";

const POINTS = 120;
const WIDTH = 100, HEIGHT = 24, EDGE = 2; // of the template's viewBox
const NARROWEST_US = 15 * SECOND; // a young line is drawn over this width at least
const LIVE_US = 5 * SECOND;
const DRAW_MS = 1_000;
const REFRESH_MS = 60_000;
const LEAST = 0.5; // of a value, which is no noise

export const noPast = () => ({ points: [], stepUs: 0, askedAt: -Infinity, live: [], drawnAt: 0 });

/** A value as it comes; a few seconds' worth is one point. */
export function addValue(past, ageMs, value) {
  const at = nowUs() - ageMs * 1000, last = past.live.at(-1);
  if (!Number.isFinite(value) || at < last?.[0]) return;
  if (!last || at - last[0] >= LIVE_US) past.live.push([at, value, value, value]);
  else past.live[past.live.length - 1] = [last[0], Math.min(last[1], value), Math.max(last[2], value), value];
  while (at - past.live[0][0] > HOUR) past.live.shift();
}

/** Reads the hour anew when it is old. */
export async function refreshPast(past, agent, reading, at) {
  if (at - past.askedAt < REFRESH_MS) return;
  past.askedAt = at;
  const found = seriesOf(agent, reading);
  if (!found) {
    refreshSeries();
    past.askedAt = at - REFRESH_MS + 5_000;
    return;
  }
  const to = nowUs();
  // What is younger than an hour is drawn over the whole width, as finely.
  const from = Math.max(to - HOUR, Math.min(found.first_us, to - MINUTE));
  const words = { series: found.id, from_us: from, to_us: to, points: POINTS };
  const answer = await askChart(words).catch(() => null);
  if (!answer) return;
  past.points = answer.points;
  past.stepUs = answer.step_us;
}

export function drawSpark({ parts, past }, at) {
  if (at - past.drawnAt < DRAW_MS) return;
  past.drawnAt = at;
  const now = nowUs();
  const known = past.points.filter(([us]) => now - us <= HOUR);
  const since = known.length ? known.at(-1)[0] + past.stepUs : -Infinity;
  const live = past.live.filter(([us]) => us > since);
  const points = [...known, ...live];
  if (points.length < 3) return;
  const width = Math.max(NARROWEST_US, now - points[0][0]);
  const [low, high] = bounds(points, LEAST);
  const x = (us) => WIDTH - ((now - us) / width) * WIDTH;
  const y = (value) => HEIGHT - EDGE - ((value - low) / (high - low)) * (HEIGHT - 2 * EDGE);
  const gapUs = Math.max(gapOf(known, past.stepUs), gapOf(live, 0));
  const { line, band, area } = paths(points, { stepUs: 0, gapUs, x, y });
  parts["spark-line"].setAttribute("d", line);
  parts["spark-band"].setAttribute("d", band);
  parts["spark-area"].setAttribute("d", area(HEIGHT));
}
