// The receiver's HTTP API. docs/http-api.md describes it: it is open to other programs, too.

const CLOCKS_AGREE_MS = 2_000; // the Date header knows seconds

let aheadMs = 0; // the receiver's clock, before this machine's

/** Now by the receiver's clock, in microseconds since 1970, as all its times are. */
export const nowUs = () => (Date.now() + aheadMs) * 1000;

export const frameOf = (camera) => `/api/cameras/${path(camera)}/frame.jpg`;
export const recordedFrame = (camera, words) => withWords(`/api/recordings/${path(camera)}/frame.jpg`, words);
export const film = (camera, words) => withWords(`/api/recordings/${path(camera)}/range.mkv`, words);
export const readingsAs = (format, words) => withWords(`/api/readings.${format}`, words);

const path = ({ agent, camera }) => `${encodeURIComponent(agent)}/${encodeURIComponent(camera)}`;

function withWords(where, words) {
  const said = Object.entries(words).map(([name, word]) => [name, typeof word === "number" ? Math.round(word) : word]);
  return `${where}?${new URLSearchParams(said)}`;
}

/** Asks; what is no success is an Error with the receiver's own sentence, and its status. */
async function ask(where, options) {
  const answer = await fetch(where, options);
  // The session has ended, or there was none.
  if (answer.status === 401) location.assign("/login");
  if (answer.ok) return answer;
  const said = await answer.json().catch(() => ({}));
  throw Object.assign(new Error(said.error ?? `the receiver answers ${answer.status}`), { status: answer.status });
}

/** As ask(), of what no cache keeps: it tells the receiver's clock, too. */
async function askFresh(where, options) {
  const answer = await ask(where, options);
  const ahead = Date.parse(answer.headers.get("date")) - Date.now();
  if (Number.isFinite(ahead)) aheadMs = Math.abs(ahead) < CLOCKS_AGREE_MS ? 0 : ahead;
  return answer;
}

const askJson = async (where, signal) => (await askFresh(where, { signal })).json();

export const askWall = () => askJson("/api/wall");
export const askSeries = () => askJson("/api/series");
export const askChart = (words, signal) => askJson(withWords("/api/chart", words), signal);
export const askRecordings = (words, signal) => askJson(withWords("/api/recordings", words), signal);

/** A picture, when it was captured, and when the next one was: null at the last. */
export async function askFrame(camera, words) {
  const answer = await ask(recordedFrame(camera, words), { signal: AbortSignal.timeout(10_000) });
  const us = (name) => (answer.headers.has(name) ? Number(answer.headers.get(name)) : null);
  return { jpeg: await answer.blob(), atUs: us("X-Captured-At-Us"), nextUs: us("X-Next-Us") };
}

const post = (where, body) =>
  askFresh(where, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });

export const setCamera = (camera, settings) => post(`/api/cameras/${path(camera)}`, settings);
export const askForSnapshot = (camera) => post(`/api/cameras/${path(camera)}/snapshot`, {});
