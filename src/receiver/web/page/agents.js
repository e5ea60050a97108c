// When each agent was heard, how its machine is, and how its ports are: in one line, or as a table below.

import { byId, clone, placeAt, setData, setText } from "./dom.js";
import { connected } from "./link.js";
import { renderMachine } from "./machine.js";
import { renderPort } from "./ports.js";
import { heardMs, isSilent, portsInRows, wall } from "./wall.js";
import { duration, exactly } from "./words.js";

const rows = new Map();

export function syncAgents() {
  const names = new Set(wall.agents.map((agent) => agent.name));
  for (const [name, row] of rows) {
    if (names.has(name)) continue;
    row.root.remove();
    rows.delete(name);
  }
  wall.agents.forEach((agent, index) => placeAt(byId("agent-rows"), index, rowFor(agent.name).root));
}

function rowFor(name) {
  if (!rows.has(name)) {
    const row = { ...clone("agent-template"), ports: [] };
    setText(row.parts["agent-name"], name);
    rows.set(name, row);
  }
  return rows.get(name);
}

export function renderAgent(agent, at) {
  const row = rowFor(agent.name);
  const silent = connected() && isSilent(agent, at);
  const known = connected() && !silent;
  const heard = duration(heardMs(agent, at));
  setData(row.root, "tone", silent ? "bad" : known ? "good" : "quiet");
  setText(row.parts["agent-words"], silent ? `silent for ${heard}` : `heard ${heard} ago`);
  setData(row.root, "ports", portsInRows(agent) ? "rows" : "inline");
  setText(row.parts["agent-ways"], known ? waysWords(agent).join(", ") : "");
  renderMachine(row.parts["agent-machine"], known ? agent.machine : null);
  while (row.ports.length > agent.ports.length) row.ports.pop().root.remove();
  while (row.ports.length < agent.ports.length) addPort(row);
  agent.ports.forEach((port, index) => renderPort(row.ports[index], agent, port, known, at));
}

/** What is wrong with its links, and what waits in its spool for them. */
function waysWords({ links = [], spool }) {
  const counts = Object.entries(spool?.counts ?? {});
  const sum = (isIt) => counts.reduce((total, [what, number]) => (isIt(what) ? total + number : total), 0);
  const inMemory = sum((what) => what === "readings_in_memory"), onDisk = sum((what) => what === "readings_on_disk");
  // What is in memory alone has just come, and is acknowledged in a moment.
  const waiting = onDisk || spool?.up === false ? inMemory + onDisk : 0;
  const lost = sum((what) => what.startsWith("readings_lost"));
  return [
    ...links.filter((link) => !link.up).map((link) => `link ${link.source} is down: ${link.cause}`),
    ...(spool && !spool.up ? [`spool: ${spool.cause}`] : []),
    ...(waiting ? [`${exactly(waiting)} ${waiting === 1 ? "reading waits" : "readings wait"} in the spool`] : []),
    ...(lost ? [`${exactly(lost)} ${lost === 1 ? "reading" : "readings"} lost`] : []),
  ];
}

function addPort(row) {
  const line = clone("port-template");
  row.ports.push(line);
  row.parts["port-rows"].append(line.root);
}
