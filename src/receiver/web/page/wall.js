// The receiver's last word on its agents, and what follows from it as time passes.
// Its times are ages, so that no two clocks have to agree; performance.now() counts on from there.

const SILENT_AGENT_MS = 5_000;

/** Cameras and readings that walls no longer name stay this long: a restarted receiver has to hear of them first. */
export const UNLISTED_MS = 10_000;

export let wall = { agents: [], at: 0 }; // at: when it came, 0 before the first

export function takeWall(told) {
  wall = { ...told, at: performance.now() };
}

export const agentNamed = (name) => wall.agents.find((agent) => agent.name === name);

const severalAgents = () => wall.agents.length > 1;
export const agentsWord = () => (severalAgents() ? "several" : "one");
export const fullName = (agent, name) => (severalAgents() ? `${agent}/${name}` : name);

export const heardMs = (agent, at) => agent.heard_ms + at - wall.at;
export const isSilent = (agent, at) => heardMs(agent, at) > SILENT_AGENT_MS;

/** For how long a camera or port has been as it is; null when nobody knows. */
export const stateMs = (part, at) => (Number.isFinite(part.for_ms) ? part.for_ms + at - wall.at : null);

const MOST_IN_A_LINE = 3;

/** More ports than read well in one line have a row each. */
export const portsInRows = (agent) => agent.ports.length > MOST_IN_A_LINE;
