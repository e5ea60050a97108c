// Points of a series, [[at_us, min, max, mean], …], as the paths of a line and of the band around it. Knows no page.

const SHORTEST_GAP_US = 15e6;

/** What is farther apart has a gap between: three times what is usual. */
export function gapOf(points, stepUs) {
  const apart = points.slice(1).map(([at], index) => at - points[index][0]).sort((a, b) => a - b);
  const usual = apart[apart.length >> 1] ?? 0;
  return Math.max(3 * usual, stepUs > 0 ? 1.5 * stepUs : SHORTEST_GAP_US);
}

export function runs(points, gapUs) {
  const found = [];
  points.forEach((point, index) => {
    if (index === 0 || point[0] - points[index - 1][0] > gapUs) found.push([]);
    found.at(-1).push(point);
  });
  return found;
}

/** Lowest and highest value, with room: a floor keeps a steady reading a steady line, no magnified noise. */
export function bounds(points, least) {
  let low = Infinity, high = -Infinity;
  for (const [, min, max] of points) {
    low = Math.min(low, min);
    high = Math.max(high, max);
  }
  if (low > high) return [0, 1];
  const missing = Math.max(0, Math.max(least, Math.abs(high) * 0.02) - (high - low)) / 2;
  return [low - missing, high + missing];
}

/** x and y take a moment and a value; what begins in a bucket is drawn at its middle. */
export function paths(points, { stepUs, gapUs, x, y }) {
  const place = (us) => x(us + stepUs / 2).toFixed(1);
  const at = (us, value) => `${place(us)} ${y(value).toFixed(1)}`;
  const all = runs(points, gapUs);
  // A point alone is a dot: a line of no length with round ends.
  const line = (run) => `M${run.map(([us, , , mean]) => at(us, mean)).join("L")}${run.length === 1 ? "h0.01" : ""}`;
  const band = (run) => {
    const above = run.map(([us, , max]) => at(us, max)), below = run.map(([us, min]) => at(us, min)).reverse();
    return `M${[...above, ...below].join("L")}Z`;
  };
  const area = (run, floor) => `${line(run)}V${floor}H${place(run[0][0])}Z`;
  return {
    line: all.map(line).join(""),
    band: all.map(band).join(""),
    area: (floor) => all.map((run) => area(run, floor)).join(""),
  };
}

/** The point nearest to a moment; null when none is nearer than a gap. */
export function nearest(points, us, gapUs) {
  let low = 0, high = points.length - 1;
  if (high < 0) return null;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (points[middle][0] < us) low = middle + 1;
    else high = middle;
  }
  const before = points[Math.max(0, low - 1)], after = points[low];
  const point = us - before[0] < after[0] - us ? before : after;
  return Math.abs(point[0] - us) <= gapUs ? point : null;
}
