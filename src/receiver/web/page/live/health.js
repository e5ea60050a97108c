// @ts-check
/** @import { Agent, PageTime, PartState, Port, Problem, ReadingCard, Tile, Tone } from "../../types.js" */

// The status line, with the most serious problem first, and the text of an empty wall.

import { byId, copyTemplate, resizeList, setData, setText } from "../shared/dom.js";
import { dateTime, duration, quantityName } from "../shared/format.js";
import { identifierWords } from "../shared/identifiers.js";
import { fullName, heardMs, isSilent, stateMs, wall } from "../shared/wall.js";
import { isConnected, lostMs } from "./connection.js";
import { machineProblems } from "./machine.js";
import { isFlooding } from "./port_rows.js";
import { cards, isStale, readingAge } from "./reading_cards.js";
import { frameAge, isOff, tileState, tiles } from "./tiles.js";

/** @param {Tone} tone @param {string} text @param {number | null} ms @returns {Problem} */
const problem = (tone, text, ms = null) => ({ tone, text, ms });

/** @param {Problem} problem */
const lastedText = ({ ms }) => (ms === null ? "" : `for ${duration(ms)}`);

/** @param {PageTime} at */
export function renderHealth(at) {
  const [first, ...others] = health(at);
  setData(byId("health"), "tone", first.tone);
  setText(byId("health-words"), first.text);
  setText(byId("health-time"), lastedText(first));
  renderOthers(others);
  const title = first.tone === "good" ? "watchpost" : `${first.text} · watchpost`;
  if (document.title !== title) document.title = title;
}

/**
 * Fills the list that opens below the line; closes it when no other problem is left.
 * @param {Problem[]} others
 */
function renderOthers(others) {
  const list = byId("problems"), more = byId("health-more");
  setText(more, others.length ? `and ${others.length} more` : "");
  more.hidden = others.length === 0;
  if (more.hidden && list.matches(":popover-open")) list.hidePopover();
  const rows = resizeList(list, others.length, () => copyTemplate("problem-template").root);
  others.forEach((problem, index) => {
    const [, text, time] = rows[index].children;
    setData(rows[index], "tone", problem.tone);
    setText(text, problem.text);
    setText(time, lastedText(problem));
  });
}

/** @param {PageTime} at */
function health(at) {
  if (!isConnected()) return [problem("warn", "Disconnected from the receiver", lostMs(at))];
  const found = problems(at);
  if (found.length) return found;
  if (!wall.agents.length) return [problem("quiet", "Waiting for an agent")];
  if (!tiles.size && !cards.size) return [problem("quiet", "Waiting for frames and readings")];
  const off = [...tiles.values()].filter(isOff).length;
  return [problem("good", `Everything is live${off ? `, ${off} switched off` : ""}`)];
}

/**
 * Returns the problems, the most serious ones first. The consequences of a silent agent or of a port that is down are
 * left out.
 * @param {PageTime} at
 */
function problems(at) {
  const silent = wall.agents.filter((agent) => isSilent(agent, at));
  const heard = wall.agents.filter((agent) => !isSilent(agent, at));
  const ports = heard.flatMap((agent) => agent.ports.map((port) => ({ agent, port })));
  const silentNames = new Set(silent.map((agent) => agent.name));
  const down = ports.filter(({ port }) => !port.up);
  const downPorts = new Set(down.map(({ agent, port }) => `${agent.name}/${port.name}`));
  /** @param {ReadingCard} card */
  const isExplained = ({ agent, reading }) => silentNames.has(agent) || downPorts.has(`${agent}/${reading.port}`);
  const found = [
    ...storeProblems(),
    ...noticeProblems(at),
    ...silent.map((agent) => silentProblem(agent, at)),
    ...[...tiles.values()].filter((tile) => !silentNames.has(tile.agent)).map((tile) => tileProblem(tile, at)),
    ...heard.flatMap((agent) => linkProblems(agent, at)),
    ...heard.flatMap(({ name, machine }) =>
      machineProblems(machine).map(({ tone, text }) => problem(tone, `${name}: ${text}`))),
    ...ports.map(({ agent, port }) => portProblem(agent, port, at)),
    ...[...cards.values()].filter((card) => !isExplained(card)).map((card) => cardProblem(card, at)),
  ].flatMap((one) => one ?? []);
  return ["bad", "warn"].flatMap((tone) => found.filter((one) => one.tone === tone));
}

/** @param {Agent} agent @param {PageTime} at */
function silentProblem(agent, at) {
  const { name, away_since_us: since } = agent;
  return since === null ? problem("bad", `${name}: silent`, heardMs(agent, at))
    : problem("bad", `${name}: away since ${dateTime(since)}`);
}

/** @param {Tile} tile @param {PageTime} at */
function tileProblem(tile, at) {
  const name = fullName(tile.agent, tile.camera);
  switch (tileState(tile, at)) {
    case "no-signal": return problem("bad", `${name}: no signal`, tile.status && stateMs(tile.status, at));
    case "stale": return problem("warn", `${name}: no frame`, frameAge(tile, at));
    case "waiting": return problem("warn", `${name}: waiting for the first frame`);
    default: return null;
  }
}

/** Returns why the receiver cannot record or store. */
function storeProblems() {
  const stores = [
    { cause: wall.recorder?.cause, text: "Cannot record" },
    { cause: wall.history?.cause, text: "Cannot store readings" },
  ];
  return stores.flatMap(({ cause, text }) => (cause ? [problem("bad", `${text}: ${identifierWords(cause)}`)] : []));
}

/**
 * Returns the agents that are refused because of their name, and the limits that are reached.
 * @param {PageTime} at
 */
function noticeProblems(at) {
  const { refused = [], quotas = [] } = wall;
  return [
    ...refused.map(({ text, since_ms }) => problem("bad", text, since_ms + at - wall.at)),
    ...quotas.map(({ text }) => problem("bad", text)),
  ];
}

/**
 * Returns the problems of an agent's links and spool.
 * @param {Agent} agent @param {PageTime} at
 */
function linkProblems(agent, at) {
  /** @param {PartState} part @param {string} name */
  const down = (part, name) =>
    problem("warn", `${agent.name}: ${name}: ${identifierWords(part.cause)}`, stateMs(part, at));
  const links = (agent.links ?? []).filter((link) => !link.up).map((link) => down(link, `link ${link.name}`));
  return agent.spool && !agent.spool.up ? [...links, down(agent.spool, "spool")] : links;
}

/** @param {Agent} agent @param {Port} port @param {PageTime} at */
function portProblem(agent, port, at) {
  const name = fullName(agent.name, port.name);
  if (!port.up) return problem("bad", `${name}: ${identifierWords(port.cause)}`, stateMs(port, at));
  return isFlooding(port) ? problem("warn", `${name}: flooding`) : null;
}

/** @param {ReadingCard} card @param {PageTime} at */
function cardProblem(card, at) {
  if (!isStale(card, at)) return null;
  const { quantity, port } = card.reading;
  const text = `${quantityName(quantity)} from ${fullName(card.agent, port)}: stale`;
  return problem("warn", text, readingAge(card, at));
}

export function renderEmpty() {
  const names = wall.agents.filter((agent) => agent.away_since_us === null).map((agent) => agent.name).join(", ");
  byId("empty").hidden = wall.at === 0 || tiles.size > 0 || cards.size > 0;
  byId("empty-how").hidden = names !== "";
  setText(byId("empty-title"), names ? "Waiting for frames and readings" : "Waiting for an agent");
  setText(byId("empty-words"), names
    ? `Connected agents: ${names}. Cameras and readings appear here when an agent sends them.`
    : "Cameras and readings appear here as soon as an agent connects to the receiver.");
}
