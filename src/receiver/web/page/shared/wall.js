// @ts-check
/** @import { Agent, PageTime, Wall, WallMessage } from "../../types.js" */

// The last wall that the receiver sent, and how its values age. The wall has ages instead of times, so that clocks need
// not agree; performance.now() counts on from there.

const SILENT_AFTER_MS = 5_000;

/** How long to keep cameras and readings that the wall no longer lists: a restarted receiver has to relearn them. */
export const UNLISTED_MS = 10_000;

/** @type {Wall} */
export let wall = { agents: [], at: 0 };

/** @param {WallMessage} message */
export function setWall(message) {
  wall = { ...message, at: performance.now() };
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
export const heardMs = (agent, at) => agent.heard_ms + at - wall.at;

/** @param {Agent} agent @param {PageTime} at */
export const isSilent = (agent, at) => heardMs(agent, at) > SILENT_AFTER_MS;

/**
 * Returns how long a part has been up or down; null if unknown.
 * @param {{ for_ms: number | null }} part @param {PageTime} at
 */
export const stateMs = ({ for_ms }, at) =>
  (for_ms !== null && Number.isFinite(for_ms) ? for_ms + at - wall.at : null);

const MAX_INLINE_PORTS = 3;

/**
 * Whether an agent has too many ports for one line, so that each gets a row.
 * @param {Agent} agent
 */
export const hasPortRows = (agent) => agent.ports.length > MAX_INLINE_PORTS;
