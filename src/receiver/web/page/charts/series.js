// @ts-check
/** @import { Reading, Series } from "../../types.js" */

// The series that the history has, and their names. If one response has room for all, the page knows all. Otherwise it
// knows those of the chosen agent, and of the agents that the live page shows.

import { fetchSeries, fetchSeriesAgents } from "../shared/api.js";
import { quantityName } from "../shared/format.js";
import { latestRequest } from "../shared/latest_request.js";

const FRESH_MS = 30_000;

/** @type {Series[]} the series to choose from: all, or those of the chosen agent */
export let series = [];

/** @type {string[]} the agents to choose from; empty if all series are known */
export let agents = [];

/** @type {string | null} */
export let chosenAgent = null;

/** @type {Series[]} */
let known = [];

/** @type {Set<string>} agents whose series are needed, besides the chosen one */
const needed = new Set();

/** @type {number | null} a series to show, whose agent may not be known yet */
let neededId = null;

let requestedAt = -Infinity;

/** @type {(() => void)[]} */
const listeners = [];

/**
 * Calls back whenever the list was read again.
 * @param {() => void} listener
 */
export const onSeries = (listener) => listeners.push(listener);

/** @param {string} agent */
async function fetchSeriesOf(agent) {
  /** @type {Series[]} */
  const all = [];
  for (let after = /** @type {number | null} */ (0); after !== null;) {
    const part = await fetchSeries({ agent, after });
    all.push(...part.series);
    after = part.next;
  }
  return all;
}

async function load() {
  const first = await fetchSeries({});
  if (first.next === null) return { all: first.series, names: [] };
  const { agents: names } = await fetchSeriesAgents();
  if (neededId !== null) {
    const { series: [found] } = await fetchSeries({ after: neededId - 1, limit: 1 });
    if (found?.id === neededId) chosenAgent = found.agent;
    neededId = null;
  }
  if (chosenAgent === null || !names.includes(chosenAgent)) chosenAgent = names[0];
  /** @type {Series[]} */
  const all = [];
  for (const agent of new Set([chosenAgent, ...needed])) all.push(...(await fetchSeriesOf(agent)));
  return { all, names };
}

const request = latestRequest(load, ({ all, names }) => {
  known = all;
  agents = names;
  series = names.length === 0 ? all : all.filter((one) => one.agent === chosenAgent);
  for (const listener of listeners) listener();
}, () => {});

function reload() {
  requestedAt = performance.now();
  request(undefined);
}

/** @param {string} agent whose series to choose from */
export function chooseAgent(agent) {
  chosenAgent = agent;
  reload();
}

/** @param {string | null} id of a series to show */
export function needSeries(id) {
  if (agents.length === 0 || !Number(id) || seriesWithId(id)) return;
  neededId = Number(id);
  reload();
}

/** Reads the list again, unless it is fresh. */
export function refreshSeries() {
  if (performance.now() - requestedAt < FRESH_MS) return;
  reload();
}

/** @param {string | null} id */
export const seriesWithId = (id) => known.find((one) => String(one.id) === id);

/** @param {string} agent @param {Pick<Reading, "port" | "quantity" | "unit">} reading */
export function seriesOf(agent, { port, quantity, unit }) {
  if (agents.includes(agent) && !needed.has(agent)) requestedAt = -Infinity;
  needed.add(agent);
  return known.find((one) => one.agent === agent && one.port === port && one.quantity === quantity && one.unit === unit);
}

/** @param {Pick<Series, "agent" | "port" | "quantity">} series */
export const seriesName = ({ quantity, agent, port }) => `${quantityName(quantity)}, ${agent}/${port}`;
