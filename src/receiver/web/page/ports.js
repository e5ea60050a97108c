// A row for each serial port: how many lines come, how many were refused, and what is wrong.

import { setData, setText, setTitle } from "./dom.js";
import { stateMs, wall } from "./wall.js";
import { count, duration, rate } from "./words.js";

// Lines a second. The agent calls more a flood, too: src/agent/serial/hearing.rs has the same number.
const FLOOD = 1_000;
const LATELY_MS = 60_000;

export const isFlooding = (port) => port.up && port.lines_per_s > FLOOD;

/** known: the agent still speaks, and what it said is of now. */
export function renderPort({ root, parts }, agent, port, known, at) {
  setData(root, "port", `${agent.name}/${port.name}`);
  setData(root, "tone", !port.up ? "bad" : !known ? "quiet" : isFlooding(port) ? "warn" : "good");
  setTitle(root, port.up ? `${port.source}: ${port.cause}` : port.source);
  setText(parts["port-name"], port.name);
  setText(parts["port-state"], stateWords(port, known, at));
  setText(parts["port-cause"], !port.up ? port.cause : known && isFlooding(port) ? "flooding" : "");
  renderRefused(root, parts["port-refused"], port, at);
}

function stateWords(port, known, at) {
  const ms = stateMs(port, at);
  if (!port.up) return ms === null ? "down" : `down for ${duration(ms)}`;
  if (!known) return "last said up";
  return port.lines_per_s === null ? "up" : rate(port.lines_per_s, "line");
}

function renderRefused(root, part, { up, refused, refused_ago_ms }, at) {
  const causes = Object.entries(refused);
  const total = causes.reduce((sum, [, number]) => sum + number, 0);
  const lately = refused_ago_ms !== null && refused_ago_ms + at - wall.at < LATELY_MS;
  setData(root, "refused", total === 0 ? "none" : lately ? "lately" : "before");
  // Why a port is down says why its lines are refused.
  const cause = up && total > 0 ? `, ${mostOf(causes)}` : "";
  setText(part, total === 0 ? "" : `${count(total)} refused${cause}`);
  const list = causes.map(([cause, number]) => `${number} × ${cause}`);
  setTitle(part, total === 0 ? "" : ["Since the agent started:", ...list].join("\n"));
}

/** The cause that is the most frequent one, and whether there are others. */
function mostOf(causes) {
  const [cause] = causes.reduce((most, next) => (next[1] > most[1] ? next : most));
  return causes.length === 1 ? cause : `most: ${cause}`;
}
