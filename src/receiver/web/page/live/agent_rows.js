// @ts-check
/** @import { Agent, AgentRow, PageTime } from "../../types.js" */

// A row for each agent: when it was last heard, its machine, its links and spool, and its ports.

import { byId, copyTemplate, placeAt, setData, setText } from "../shared/dom.js";
import { dateTime, duration, exactCount } from "../shared/format.js";
import { identifierWords } from "../shared/identifiers.js";
import { hasPortRows, heardMs, isSilent, wall } from "../shared/wall.js";
import { askToForget, askToMerge } from "./agent_dialogs.js";
import { isConnected } from "./connection.js";
import { renderMachine } from "./machine.js";
import { renderPort } from "./port_rows.js";

/** @type {Map<string, AgentRow>} */
const rows = new Map();

/** Matches the rows to a new wall. */
export function syncAgents() {
  const names = new Set(wall.agents.map((agent) => agent.name));
  for (const [name, row] of rows) {
    if (names.has(name)) continue;
    row.root.remove();
    rows.delete(name);
  }
  wall.agents.forEach((agent, index) => placeAt(byId("agent-rows"), index, rowFor(agent.name).root));
}

/** @param {string} name */
function rowFor(name) {
  return rows.get(name) ?? makeRow(name);
}

/** @param {string} name */
function makeRow(name) {
  /** @type {AgentRow} */
  const row = { ...copyTemplate("agent-template"), ports: [] };
  setText(row.parts["agent-name"], name);
  setData(row.root, "agent", name);
  row.parts["agent-forget"].addEventListener("click", () => askToForget(name));
  row.parts["agent-merge"].addEventListener("click", () => askToMerge(name));
  rows.set(name, row);
  return row;
}

/** @param {Agent} agent @param {PageTime} at */
export function renderAgent(agent, at) {
  const row = rowFor(agent.name);
  const silent = isConnected() && isSilent(agent, at);
  const isCurrent = isConnected() && !silent;
  const heard = duration(heardMs(agent, at));
  setData(row.root, "tone", silent ? "bad" : isCurrent ? "good" : "quiet");
  const since = silent ? agent.away_since_us : null;
  setText(row.parts["agent-words"], since !== null ? `away since ${dateTime(since)}`
    : silent ? `silent for ${heard}` : `heard ${heard} ago`);
  row.parts["agent-actions"].hidden = since === null || wall.role !== "control";
  setData(row.root, "ports", hasPortRows(agent) ? "rows" : "inline");
  setText(row.parts["agent-links"], isCurrent ? linkNotes(agent).join(", ") : "");
  renderMachine(row.parts["agent-machine"], isCurrent ? agent.machine : null);
  while (row.ports.length > agent.ports.length) row.ports.pop()?.root.remove();
  while (row.ports.length < agent.ports.length) addPort(row);
  agent.ports.forEach((port, index) => renderPort(row.ports[index], agent, port, isCurrent, at));
}

/**
 * Returns the problems of an agent's links, and the readings that wait in its spool or were lost.
 * @param {Pick<Agent, "links" | "spool">} agent
 */
export function linkNotes({ links = [], spool }) {
  const counts = Object.entries(spool?.counts ?? {}).map(([key, number]) => ({ name: identifierWords(key), number }));
  /** @param {(name: string) => boolean} matches */
  const sum = (matches) => counts.reduce((total, { name, number }) => (matches(name) ? total + number : total), 0);
  const inMemory = sum((name) => name === "readings in memory"), onDisk = sum((name) => name === "readings on disk");
  // Readings in memory alone are new; they are acknowledged within a moment.
  const waiting = onDisk || spool?.up === false ? inMemory + onDisk : 0;
  const lost = sum((name) => name.startsWith("readings lost"));
  const down = links.filter((link) => !link.up);
  return [
    ...down.map((link) => `link ${link.source} is down: ${identifierWords(link.cause)}`),
    ...(spool && !spool.up ? [`spool: ${identifierWords(spool.cause)}`] : []),
    ...(waiting ? [`${exactCount(waiting)} ${waiting === 1 ? "reading waits" : "readings wait"} in the spool`] : []),
    ...(lost ? [`${exactCount(lost)} ${lost === 1 ? "reading" : "readings"} lost`] : []),
  ];
}

/** @param {AgentRow} row */
function addPort(row) {
  const port = copyTemplate("port-template");
  row.ports.push(port);
  row.parts["port-rows"].append(port.root);
}
