// @ts-check
/** @import { PageTime } from "../../types.js" */

// The WebSocket to the receiver. It reconnects whenever the connection is lost.

import { fetchWall } from "../shared/api.js";
import { setData } from "../shared/dom.js";

const TIMEOUT_MS = 5_000; // the receiver sends at least one message a second
const MIN_BACKOFF_MS = 500;
const MAX_BACKOFF_MS = 5_000;

/**
 * Receives the messages; acknowledge(key) confirms that a camera's frame was drawn.
 * @typedef {object} Handlers
 * @property {(text: string) => void} onText
 * @property {(frame: ArrayBuffer, acknowledge: (key: string) => void) => void} onFrame
 */

/** @type {Handlers} */
let handlers = { onText: () => {}, onFrame: () => {} };
/** @type {WebSocket | null} */
let current = null; // null until the next attempt
let heardAt = 0;
let lostAt = performance.now();
let backoff = MIN_BACKOFF_MS;

export const isConnected = () => document.body.dataset.connection === "live";

/** @param {PageTime} at */
export const lostMs = (at) => at - lostAt;

/** @param {Handlers} wanted */
export function startConnection(wanted) {
  handlers = wanted;
  connect();
}

function connect() {
  const scheme = location.protocol === "https:" ? "wss" : "ws";
  const socket = new WebSocket(`${scheme}://${location.host}/live?changes=true`);
  socket.binaryType = "arraybuffer";
  socket.onmessage = ({ data }) => receive(socket, data);
  socket.onclose = () => drop(socket);
  current = socket;
  heardAt = performance.now();
}

/** @param {WebSocket} socket @param {string | ArrayBuffer} message */
function receive(socket, message) {
  heardAt = performance.now();
  backoff = MIN_BACKOFF_MS;
  setData(document.body, "connection", "live");
  if (typeof message === "string") handlers.onText(message);
  else handlers.onFrame(message, (key) => acknowledge(socket, key));
}

/** @param {WebSocket} socket @param {string} key */
function acknowledge(socket, key) {
  if (socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify({ seen: key }));
}

/** @param {WebSocket} socket */
function drop(socket) {
  if (socket !== current) return;
  current = null;
  socket.onmessage = null;
  socket.close();
  if (isConnected()) lostAt = performance.now();
  setData(document.body, "connection", "reconnecting");
  // After a session has expired, this request leads to the login page. A WebSocket does not report the status 401.
  fetchWall().catch(() => {});
  setTimeout(connect, backoff);
  backoff = Math.min(backoff * 2, MAX_BACKOFF_MS);
}

/**
 * Drops a connection without messages, because a pulled cable closes no socket.
 * @param {PageTime} at
 */
export function dropIfDead(at) {
  if (current && at - heardAt > TIMEOUT_MS) drop(current);
}
