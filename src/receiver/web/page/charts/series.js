// @ts-check
/** @import { Reading, Series } from "../../types.js" */

// The series that the history has, and their names.

import { fetchSeries } from "../shared/api.js";
import { quantityName } from "../shared/format.js";
import { latestRequest } from "../shared/latest_request.js";

const FRESH_MS = 30_000;

/** @type {Series[]} */
export let series = [];

let requestedAt = -Infinity;

/** @type {(() => void)[]} */
const listeners = [];

/**
 * Calls back whenever the list was read again.
 * @param {() => void} listener
 */
export const onSeries = (listener) => listeners.push(listener);

const request = latestRequest(fetchSeries, (answer) => {
  series = answer.series;
  for (const listener of listeners) listener();
}, () => {});

/** Reads the list again, unless it is fresh. */
export function refreshSeries() {
  if (performance.now() - requestedAt < FRESH_MS) return;
  requestedAt = performance.now();
  request(undefined);
}

/** @param {string | null} id */
export const seriesWithId = (id) => series.find((one) => String(one.id) === id);

/** @param {string} agent @param {Pick<Reading, "port" | "quantity" | "unit">} reading */
export const seriesOf = (agent, { port, quantity, unit }) =>
  series.find((one) => one.agent === agent && one.port === port && one.quantity === quantity && one.unit === unit);

/** @param {Pick<Series, "agent" | "port" | "quantity">} series */
export const seriesName = ({ quantity, agent, port }) => `${quantityName(quantity)}, ${agent}/${port}`;
