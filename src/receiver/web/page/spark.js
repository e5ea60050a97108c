// A reading's last minutes as a small line.

const HISTORY_MS = 5 * 60_000;
const NARROWEST_MS = 15_000; // a young history is drawn over this width at least
const STEP_MS = 1_000;
const BREAK_MS = 15_000;

export function addPoint(points, at, value) {
  const last = points.at(-1)?.at ?? -Infinity;
  if (!Number.isFinite(value) || at - last < STEP_MS) return;
  points.push({ at, value });
  while (at - points[0].at > HISTORY_MS) points.shift();
}

export function drawSpark(card, at) {
  if (at - card.drawnAt < STEP_MS || card.points.length < 3) return;
  card.drawnAt = at;
  const points = [...card.points, { at, value: card.points.at(-1).value }];
  const runs = unbrokenRuns(points.map(scale(points, at)));
  const line = (run) => `M${run.map(({ x, y }) => `${x.toFixed(2)} ${y.toFixed(2)}`).join("L")}`;
  const area = (run) => `${line(run)}V24H${run[0].x.toFixed(2)}Z`;
  card.parts["spark-line"].setAttribute("d", runs.map(line).join(""));
  card.parts["spark-area"].setAttribute("d", runs.map(area).join(""));
}

/** Into the template's viewBox of 100 by 24. */
function scale(points, at) {
  const values = points.map((point) => point.value);
  const low = Math.min(...values), high = Math.max(...values);
  // A floor under the span keeps a steady reading a steady line instead of magnified noise.
  const span = Math.max(high - low, Math.abs(high) * 0.05, 0.5);
  const bottom = (low + high - span) / 2;
  const width = Math.max(NARROWEST_MS, at - points[0].at);
  const x = (point) => 100 - ((at - point.at) / width) * 100;
  const y = (point) => 22 - ((point.value - bottom) / span) * 20;
  return (point) => ({ at: point.at, x: x(point), y: y(point) });
}

function unbrokenRuns(points) {
  const runs = [];
  points.forEach((point, index) => {
    if (index === 0 || point.at - points[index - 1].at > BREAK_MS) runs.push([]);
    runs.at(-1).push(point);
  });
  return runs;
}
