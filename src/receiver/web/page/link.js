// The WebSocket to the receiver, made again whenever it is lost.

import { askWall } from "./api.js";
import { setData } from "./dom.js";

const DEAD_LINK_MS = 5_000; // the receiver speaks at least once a second
const BACKOFF_FIRST_MS = 500;
const BACKOFF_LAST_MS = 5_000;

const hears = { text: null, frame: null };
let link = null; // the socket, or null until the next attempt
let heardAt = 0;
let lostAt = performance.now();
let backoff = BACKOFF_FIRST_MS;

export const connected = () => document.body.dataset.connection === "live";
export const lostMs = (at) => at - lostAt;

/** Calls text(string) and frame(buffer, answer) with what comes; answer(key) says that a camera's frame was seen. */
export function keepLinked(text, frame) {
  Object.assign(hears, { text, frame });
  connect();
}

function connect() {
  const scheme = location.protocol === "https:" ? "wss" : "ws";
  const socket = new WebSocket(`${scheme}://${location.host}/live`);
  socket.binaryType = "arraybuffer";
  socket.onmessage = ({ data }) => hear(socket, data);
  socket.onclose = () => lose(socket);
  link = socket;
  heardAt = performance.now();
}

function hear(socket, data) {
  heardAt = performance.now();
  backoff = BACKOFF_FIRST_MS;
  setData(document.body, "connection", "live");
  if (typeof data === "string") hears.text(data);
  else hears.frame(data, (key) => answer(socket, key));
}

function answer(socket, key) {
  if (socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify({ seen: key }));
}

function lose(socket) {
  if (socket !== link) return;
  link = null;
  socket.onmessage = null;
  socket.close();
  if (connected()) lostAt = performance.now();
  setData(document.body, "connection", "reconnecting");
  // Whose session has ended is asked to log in; the socket does not tell.
  askWall().catch(() => {});
  setTimeout(connect, backoff);
  backoff = Math.min(backoff * 2, BACKOFF_LAST_MS);
}

/** A cable that is pulled closes no socket: only the silence tells. */
export function loseIfDead(at) {
  if (link && at - heardAt > DEAD_LINK_MS) lose(link);
}
