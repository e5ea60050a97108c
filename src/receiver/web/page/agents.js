// When each agent was heard, and how its ports are: in one line, or as a table below.

import { byId, clone, placeAt, setData, setText } from "./dom.js";
import { connected } from "./link.js";
import { renderPort } from "./ports.js";
import { heardMs, isSilent, portsInRows, wall } from "./wall.js";
import { duration } from "./words.js";

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
  while (row.ports.length > agent.ports.length) row.ports.pop().root.remove();
  while (row.ports.length < agent.ports.length) addPort(row);
  agent.ports.forEach((port, index) => renderPort(row.ports[index], agent, port, known, at));
}

function addPort(row) {
  const line = clone("port-template");
  row.ports.push(line);
  row.parts["port-rows"].append(line.root);
}
