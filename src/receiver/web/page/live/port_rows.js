// @ts-check
/** @import { Agent, Copy, PageTime, Port } from "../../types.js" */

// A row for each serial port: its rate of lines, how many it refused, and what is wrong.

import { setData, setText, setTitle } from "../shared/dom.js";
import { count, duration, rate } from "../shared/format.js";
import { identifierWords } from "../shared/identifiers.js";
import { stateMs } from "../shared/wall.js";

const FLOOD_LINES_PER_S = 1_000; // the agent's limit, too
const RECENTLY_MS = 60_000;

/** @param {Port} port */
export const isFlooding = ({ up, lines_per_s }) => up && lines_per_s !== null && lines_per_s > FLOOD_LINES_PER_S;

/**
 * @param {Copy} row
 * @param {Agent} agent
 * @param {Port} port
 * @param {boolean} isCurrent whether the agent's status is up to date
 * @param {PageTime} at
 */
export function renderPort({ root, parts }, agent, port, isCurrent, at) {
  const cause = identifierWords(port.cause);
  setData(root, "port", `${agent.name}/${port.name}`);
  setData(root, "tone", !port.up ? "bad" : !isCurrent ? "quiet" : isFlooding(port) ? "warn" : "good");
  setTitle(root, port.up ? `${port.source}: ${cause}` : port.source);
  setText(parts["port-name"], port.name);
  setText(parts["port-state"], stateText(port, isCurrent, at));
  setText(parts["port-cause"], !port.up ? cause : isCurrent && isFlooding(port) ? "flooding" : "");
  renderRefused(root, parts["port-refused"], port, at);
}

/** @param {Port} port @param {boolean} isCurrent @param {PageTime} at */
function stateText(port, isCurrent, at) {
  const ms = stateMs(port, at);
  if (!port.up) return ms === null ? "down" : `down for ${duration(ms)}`;
  if (!isCurrent) return "last reported up";
  return port.lines_per_s === null ? "up" : rate(port.lines_per_s, "line");
}

/** @param {HTMLElement} root @param {HTMLElement} part @param {Port} port @param {PageTime} at */
function renderRefused(root, part, { up, refused, refused_ago_ms, at: arrived }, at) {
  const causes = Object.entries(refused);
  const total = causes.reduce((sum, [, number]) => sum + number, 0);
  const isRecent = refused_ago_ms !== null && refused_ago_ms + at - arrived < RECENTLY_MS;
  setData(root, "refused", total === 0 ? "none" : isRecent ? "lately" : "before");
  // The cause of a port that is down explains its refused lines too.
  const cause = up && total > 0 ? `, ${mainCause(causes)}` : "";
  setText(part, total === 0 ? "" : `${count(total)} refused${cause}`);
  const list = causes.map(([cause, number]) => `${number} × ${identifierWords(cause)}`);
  setTitle(part, total === 0 ? "" : ["Since the agent started:", ...list].join("\n"));
}

/**
 * Returns the most frequent cause, marked as such if there are others.
 * @param {[string, number][]} causes
 */
export function mainCause(causes) {
  const [cause] = causes.reduce((main, next) => (next[1] > main[1] ? next : main));
  return causes.length === 1 ? identifierWords(cause) : `mostly: ${identifierWords(cause)}`;
}
