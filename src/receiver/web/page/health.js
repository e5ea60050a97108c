// One sentence on how everything is, and what an empty wall waits for.

import { byId, clone, setData, setText } from "./dom.js";
import { connected, lostMs } from "./link.js";
import { machineProblems } from "./machine.js";
import { isFlooding } from "./ports.js";
import { cards, isStale, readingAge } from "./readings.js";
import { frameAge, isOff, tileState, tiles } from "./tiles.js";
import { fullName, heardMs, isSilent, stateMs, wall } from "./wall.js";
import { duration, quantityName } from "./words.js";

const say = (tone, words, ms = null) => ({ tone, words, ms });

export function renderHealth(at) {
  const [first, ...others] = health(at);
  setData(byId("health"), "tone", first.tone);
  setText(byId("health-words"), first.words);
  setText(byId("health-time"), first.ms === null ? "" : `for ${duration(first.ms)}`);
  renderOthers(others);
  const title = first.tone === "good" ? "watchpost" : `${first.words} · watchpost`;
  if (document.title !== title) document.title = title;
}

/** The rest is a list that opens below; it goes by itself when all is well again. */
function renderOthers(others) {
  const list = byId("problems"), more = byId("health-more");
  setText(more, others.length ? `and ${others.length} more` : "");
  more.hidden = others.length === 0;
  if (more.hidden && list.matches(":popover-open")) list.hidePopover();
  while (list.children.length > others.length) list.lastChild.remove();
  while (list.children.length < others.length) list.append(clone("problem-template").root);
  others.forEach(({ tone, words, ms }, index) => {
    const row = list.children[index];
    setData(row, "tone", tone);
    setText(row.querySelector(".problem-words"), words);
    setText(row.querySelector(".problem-time"), ms === null ? "" : `for ${duration(ms)}`);
  });
}

function health(at) {
  if (!connected()) return [say("warn", "No link to the receiver", lostMs(at))];
  const found = problems(at);
  if (found.length) return found;
  if (!wall.agents.length) return [say("quiet", "Waiting for an agent")];
  if (!tiles.size && !cards.size) return [say("quiet", "Waiting for frames and readings")];
  const off = [...tiles.values()].filter(isOff).length;
  return [say("good", `Everything is live${off ? `, ${off} switched off` : ""}`)];
}

/** The worst first, and only causes: what a silent agent or a port that is down explains is left out. */
function problems(at) {
  const silent = wall.agents.filter((agent) => isSilent(agent, at));
  const heard = wall.agents.filter((agent) => !isSilent(agent, at));
  const ports = heard.flatMap((agent) => agent.ports.map((port) => ({ agent, port })));
  const downPorts = ports.filter(({ port }) => !port.up);
  const quiet = new Set(silent.map((agent) => agent.name));
  const downs = new Set(downPorts.map(({ agent, port }) => `${agent.name}/${port.name}`));
  const explained = (card) => quiet.has(card.agent) || downs.has(`${card.agent}/${card.reading.port}`);
  const found = [
    ...keepers(),
    ...silent.map((agent) => say("bad", `${agent.name}: silent`, heardMs(agent, at))),
    ...[...tiles.values()].filter((tile) => !quiet.has(tile.agent)).map((tile) => tileProblem(tile, at)),
    ...heard.flatMap((agent) => ways(agent, at)),
    ...heard.flatMap(({ name, machine }) => machineProblems(machine).map(([tone, words]) => say(tone, `${name}: ${words}`))),
    ...ports.map(({ agent, port }) => portProblem(agent, port, at)),
    ...[...cards.values()].filter((card) => !explained(card)).map((card) => cardProblem(card, at)),
  ];
  return ["bad", "warn"].flatMap((tone) => found.filter((problem) => problem?.tone === tone));
}

function tileProblem(tile, at) {
  const name = fullName(tile.agent, tile.camera);
  switch (tileState(tile, at)) {
    case "no-signal": return say("bad", `${name}: no signal`, stateMs(tile.status, at));
    case "stale": return say("warn", `${name}: no frame`, frameAge(tile, at));
    case "waiting": return say("warn", `${name}: waiting for the first frame`);
    default: return null;
  }
}

/** The receiver's own: what does not keep what comes. */
const keepers = () => [["recorder", "Nothing can be recorded"], ["history", "Readings cannot be kept"]]
  .filter(([part]) => wall[part]?.cause)
  .map(([part, words]) => say("bad", `${words}: ${wall[part].cause}`));

/** An agent's ways out: its links to whomever, and the spool in which readings wait for them. */
function ways(agent, at) {
  const down = (part, what) => say("warn", `${agent.name}: ${what}: ${part.cause}`, stateMs(part, at));
  const links = (agent.links ?? []).filter((link) => !link.up).map((link) => down(link, `link ${link.name}`));
  return agent.spool && !agent.spool.up ? [...links, down(agent.spool, "spool")] : links;
}

function portProblem(agent, port, at) {
  const name = fullName(agent.name, port.name);
  if (!port.up) return say("bad", `${name}: ${port.cause}`, stateMs(port, at));
  return isFlooding(port) ? say("warn", `${name}: flooding`) : null;
}

function cardProblem(card, at) {
  if (!isStale(card, at)) return null;
  const { quantity, port } = card.reading;
  return say("warn", `${quantityName(quantity)} from ${fullName(card.agent, port)}: stale`, readingAge(card, at));
}

export function renderEmpty() {
  const names = wall.agents.map((agent) => agent.name).join(", ");
  byId("empty").hidden = wall.at === 0 || tiles.size > 0 || cards.size > 0;
  byId("empty-how").hidden = names !== "";
  setText(byId("empty-title"), names ? "Waiting for frames and readings" : "Waiting for an agent");
  setText(byId("empty-words"), names
    ? `The receiver hears ${names}. Cameras and readings appear here when the agent sends them.`
    : "The cameras and readings of an agent appear here as soon as the receiver hears from it.");
}
