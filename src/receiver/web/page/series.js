// Which quantities the history has, and their names.

import { askSeries } from "./api.js";
import { latest } from "./latest.js";
import { quantityName } from "./words.js";

const FRESH_MS = 30_000;

export let series = [];

let askedAt = -Infinity;
const heirs = [];

/** Calls back whenever the list was read anew. */
export const onSeries = (heir) => heirs.push(heir);

const ask = latest(askSeries, (answer) => {
  series = answer.series;
  for (const heir of heirs) heir();
}, () => {});

/** Reads the list, unless that was just done. */
export function refreshSeries(freshMs = FRESH_MS) {
  if (performance.now() - askedAt < freshMs) return;
  askedAt = performance.now();
  ask();
}

export const seriesWith = (id) => series.find((one) => String(one.id) === String(id));

export const seriesOf = (agent, { port, quantity, unit }) =>
  series.find((one) => one.agent === agent && one.port === port && one.quantity === quantity && one.unit === unit);

export const seriesName = ({ quantity, agent, port }) => `${quantityName(quantity)}, ${agent}/${port}`;
