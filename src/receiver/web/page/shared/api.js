// @ts-check
/** @import { AgentsAnswer, CameraName, CameraSettings, ChartAnswer, RecordedFrame } from "../../types.js" */
/** @import { RecordingsAnswer, SeriesAgentsAnswer, SeriesAnswer, WallMessage } from "../../types.js" */

// Requests to the receiver's HTTP API, which is open to other programs too.

import { learnOffset } from "./receiver_clock.js";

const FRAME_TIMEOUT_MS = 10_000;

/** @typedef {Record<string, string | number>} Query */

/** @param {CameraName} camera */
const path = ({ agent, camera }) => `${encodeURIComponent(agent)}/${encodeURIComponent(camera)}`;

/** @param {string} url @param {Query} query */
function withQuery(url, query) {
  const entries = Object.entries(query);
  const texts = entries.map(([name, value]) => [name, String(typeof value === "number" ? Math.round(value) : value)]);
  return `${url}?${new URLSearchParams(texts)}`;
}

/** @param {CameraName} camera */
export const frameUrl = (camera) => `/api/cameras/${path(camera)}/frame.jpg`;

/** @param {CameraName} camera @param {Query} query */
export const recordedFrameUrl = (camera, query) => withQuery(`/api/recordings/${path(camera)}/frame.jpg`, query);

/** @param {CameraName} camera @param {Query} query */
export const videoExportUrl = (camera, query) => withQuery(`/api/recordings/${path(camera)}/range.mkv`, query);

/** @param {"csv" | "json"} format @param {Query} query */
export const readingsExportUrl = (format, query) => withQuery(`/api/readings.${format}`, query);

/** A response other than 2xx; the message is the receiver's own. */
export class ResponseError extends Error {
  /** @param {string} message @param {number} status */
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

/**
 * Throws a ResponseError unless the response is a success.
 * @param {string} url @param {RequestInit} [options]
 */
async function request(url, options) {
  const response = await fetch(url, options);
  // The browser has no valid session.
  if (response.status === 401) location.assign("/login");
  if (response.ok) return response;
  const body = await response.json().catch(() => ({}));
  throw new ResponseError(body.error ?? `the receiver returned status ${response.status}`, response.status);
}

/**
 * For responses that no cache stores: their date is the receiver's time now.
 * @param {string} url @param {RequestInit} [options]
 */
async function requestFresh(url, options) {
  const response = await request(url, options);
  learnOffset(response.headers.get("date"));
  return response;
}

/** @param {string} url */
const getJson = async (url) => (await requestFresh(url)).json();

/** @returns {Promise<WallMessage>} */
export const fetchWall = () => getJson("/api/wall");

/** @param {Query} query @returns {Promise<SeriesAnswer>} */
export const fetchSeries = (query) => getJson(withQuery("/api/series", query));

/** @returns {Promise<SeriesAgentsAnswer>} */
export const fetchSeriesAgents = () => getJson("/api/series/agents");

/** @param {Query} query @returns {Promise<ChartAnswer>} */
export const fetchChart = (query) => getJson(withQuery("/api/chart", query));

/** @param {Query} query @returns {Promise<RecordingsAnswer>} */
export const fetchRecordings = (query) => getJson(withQuery("/api/recordings", query));

/**
 * Fetches a recorded frame, with its capture time and that of the next frame.
 * @param {CameraName} camera @param {Query} query @returns {Promise<RecordedFrame>}
 */
export async function fetchFrame(camera, query) {
  const response = await request(recordedFrameUrl(camera, query), { signal: AbortSignal.timeout(FRAME_TIMEOUT_MS) });
  /** @param {string} name */
  const us = (name) => (response.headers.has(name) ? Number(response.headers.get(name)) : null);
  return { jpeg: await response.blob(), atUs: us("X-Captured-At-Us"), nextUs: us("X-Next-Us") };
}

/** @param {string} url @param {object} body */
const post = (url, body) =>
  requestFresh(url, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });

/** @returns {Promise<AgentsAnswer>} */
export const fetchAgents = () => getJson("/api/agents");

/** @param {string} agent @param {boolean} withData */
export const forgetAgent = (agent, withData) =>
  requestFresh(withQuery(`/api/agents/${encodeURIComponent(agent)}`, { data: withData ? "delete" : "keep" }),
    { method: "DELETE" });

/** @param {string} agent @param {string} into */
export const mergeAgent = (agent, into) => post(`/api/agents/${encodeURIComponent(agent)}/merge`, { into });

/** @param {CameraName} camera @param {Partial<CameraSettings>} settings */
export const setCamera = (camera, settings) => post(`/api/cameras/${path(camera)}`, settings);

/** @param {CameraName} camera */
export const requestSnapshot = (camera) => post(`/api/cameras/${path(camera)}/snapshot`, {});
