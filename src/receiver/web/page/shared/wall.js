// @ts-check
/** @import { Agent, AgentMessage, PageTime, PartState, Wall, WallMessage } from "../../types.js" */

// The wall as the receiver sent it, and how its values age. Its messages have ages instead of times, so that clocks need
// not agree; performance.now() counts on from the arrival of each value.

const SILENT_AFTER_MS = 5_000;

/** How long to keep cameras and readings that the wall no longer lists: a restarted receiver has to relearn them. */
export const UNLISTED_MS = 10_000;

/** @type {Wall} */
export let wall = { agents: [], at: 0 };

/** @param {Partial<WallMessage>} message */
export function setWall(message) {
  wall = { agents: [], at: 0 };
  applyChanges(message);
}

/**
 * Applies a message to the wall. What it does not name stays as it is.
 * @param {Partial<WallMessage>} message
 */
export function applyChanges({ agents = [], removed = [], ...rest }) {
  const at = performance.now();
  const known = new Map(wall.agents.map((agent) => [agent.name, agent]));
  for (const name of removed) known.delete(name);
  for (const agent of agents) known.set(agent.name, mergeAgent(known.get(agent.name), agent, at));
  wall = { ...wall, ...rest, agents: [...known.values()].sort((a, b) => (a.name < b.name ? -1 : 1)), at };
}

/** @param {Agent | undefined} known @param {AgentMessage} message @param {PageTime} at @returns {Agent} */
function mergeAgent(known, { readings, changed_readings = [], ...head }, at) {
  const merged = new Map(readings ? [] : known?.readings);
  for (const reading of readings ?? changed_readings) {
    merged.set(`${reading.port}/${reading.quantity}`, { ...reading, at });
  }
  if (head.heard_ms === undefined) return { .../** @type {Agent} */ (known ?? head), readings: merged };
  const { cameras = [], ports = [], links = [], spool } = head;
  /** @type {PartState[]} */
  const parts = [...cameras, ...ports, ...links, ...(spool ? [spool] : [])];
  for (const part of parts) part.at = at;
  return { .../** @type {Agent} */ (head), at, readings: merged };
}

/** @param {string} name */
export const agentNamed = (name) => wall.agents.find((agent) => agent.name === name);

const hasSeveralAgents = () => wall.agents.length > 1;
export const agentCount = () => (hasSeveralAgents() ? "several" : "one");

/**
 * Returns a part's name, with its agent's if there are several agents.
 * @param {string} agent @param {string} name
 */
export const fullName = (agent, name) => (hasSeveralAgents() ? `${agent}/${name}` : name);

/** @param {Agent} agent @param {PageTime} at */
export const heardMs = (agent, at) => agent.heard_ms + at - agent.at;

/** @param {Agent} agent @param {PageTime} at */
export const isSilent = (agent, at) => heardMs(agent, at) > SILENT_AFTER_MS;

/**
 * Returns how long a part has been up or down; null if unknown.
 * @param {Pick<PartState, "for_ms" | "at">} part @param {PageTime} at
 */
export const stateMs = ({ for_ms, at: arrived }, at) =>
  (for_ms !== null && Number.isFinite(for_ms) ? for_ms + at - arrived : null);

const MAX_INLINE_PORTS = 3;

/**
 * Whether an agent has too many ports for one line, so that each gets a row.
 * @param {Agent} agent
 */
export const hasPortRows = (agent) => agent.ports.length > MAX_INLINE_PORTS;
