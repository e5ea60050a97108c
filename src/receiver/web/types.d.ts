// The JSON that the page receives, and the data its modules share. For the type checker only: nothing here is served.

/** Milliseconds of `performance.now()`. */
export type PageTime = number;

export type Tone = "good" | "quiet" | "warn" | "bad";

/** How often each cause or event occurred, by its identifier. */
export type Counts = Record<string, number>;

// ---- /api/wall and the text messages of /live ----

/** A message with the type `changes` has only the fields, agents and readings that changed. */
export interface WallMessage extends WallState {
  type: string;
  agents: AgentMessage[];
  /** Names of agents that left the wall. */
  removed?: string[];
}

export interface WallState {
  role: "view" | "control";
  /** Whether the receiver has tokens. */
  login: boolean;
  history: StoreState;
  recorder: StoreState;
  refused: RefusedAgent[];
  quotas: ReachedQuota[];
}

/** The wall; fields other than these are missing until the first message. `at` is when the last message arrived. */
export interface Wall extends Partial<WallState> {
  agents: Agent[];
  at: PageTime;
}

/** Whether readings or frames are stored, and why that fails. */
export interface StoreState {
  on: boolean;
  cause: string;
}

/** A peer that used a name it may not use. */
export interface RefusedAgent {
  agent: string;
  peer: string;
  /** Who has the name, or the names that the peer may use. */
  other: string;
  cause: string;
  /** The reason and the remedy. */
  text: string;
  count: number;
  since_ms: number;
}

/** A limit that refused something within the last minute. */
export interface ReachedQuota {
  quota: string;
  used: number;
  limit: number;
  refused: number;
  /** Who was refused last. */
  last: string;
  text: string;
}

/** Has all fields of an agent except `readings`, or none. */
export interface AgentMessage extends Partial<Omit<Agent, "readings">> {
  name: string;
  /** All readings, or the first of them. */
  readings?: Reading[];
  /** Readings that replace those with the same port and quantity, or are new. */
  changed_readings?: Reading[];
}

export interface Agent {
  name: string;
  /** When these fields arrived. */
  at: PageTime;
  heard_ms: number;
  /** Since when it is away, in microseconds since 1970; null while it is connected. */
  away_since_us: number | null;
  /** Whether commands reach it. */
  control: boolean;
  cameras: Camera[];
  ports: Port[];
  links: Part[];
  spool: Part | null;
  machine: Machine | null;
  /** By PORT/QUANTITY. */
  readings: Map<string, Reading>;
}

/** A camera, port, link or spool: `cause` explains how it is up or why it is down, `for_ms` since when. */
export interface PartState {
  name: string;
  source: string;
  up: boolean;
  cause: string;
  for_ms: number | null;
  /** When the state arrived. */
  at: PageTime;
}

export interface Part extends PartState {
  counts: Counts;
}

export interface Camera extends PartState {
  fps: number | null;
  settings: CameraSettings | null;
  width: number | null;
  height: number | null;
}

export interface CameraSettings {
  on: boolean;
  fps: number;
  quality: number;
}

export interface Port extends PartState {
  lines_per_s: number | null;
  refused: Counts;
  refused_ago_ms: number | null;
}

export interface Machine {
  temperature_c?: number;
  undervoltage?: boolean;
  undervoltage_since_boot?: boolean;
  throttled?: boolean;
  throttled_since_boot?: boolean;
  memory?: Room;
  disk?: Room;
  wifi?: { interface: string; signal_dbm: number };
  synchronised: boolean;
  uptime_s: number;
}

export interface Room {
  bytes: number;
  available_bytes?: number;
}

export interface Reading {
  port: string;
  quantity: string;
  value: number;
  unit: string;
  age_ms: number;
  stale_after_ms: number;
  /** When it arrived, at the age `age_ms`. */
  at: PageTime;
}

/** The header before the JPEG in a binary message of /live. */
export interface FrameHeader {
  agent: string;
  camera: string;
  seq: number;
  captured_at_us: number;
  age_ms: number;
  width: number;
  height: number;
}

// ---- /api/series, /api/chart and /api/recordings ----

export interface Series {
  id: number;
  agent: string;
  port: string;
  quantity: string;
  unit: string;
  first_us: number;
  last_us: number;
}

export interface AgentsAnswer {
  agents: KnownAgent[];
}

/** `forgotten`: only its data is left. */
export interface KnownAgent {
  name: string;
  state: "connected" | "away" | "forgotten";
  last_heard_us: number | null;
  series: boolean;
  recordings: boolean;
}

export interface SeriesAnswer {
  series: Series[];
  /** Where the next part of the list starts; null in the last one. */
  next: number | null;
}

export interface SeriesAgentsAnswer {
  agents: string[];
}

/** [at_us, min, max, mean] */
export type Point = [number, number, number, number];

export interface ChartAnswer {
  from_us: number;
  to_us: number;
  points: Point[];
  /** The indexes of the points after a gap. */
  breaks: number[];
  /** The width of a point's bucket; 0: each point is one reading. */
  step_us: number;
}

/** [from_us, to_us] of what was recorded. */
export type RecordedSpan = [number, number];

export interface RecordingsAnswer {
  cameras: { agent: string; camera: string; spans: RecordedSpan[] }[];
}

export interface RecordedFrame {
  jpeg: Blob;
  atUs: number | null;
  /** When the next frame was captured; null at the last one. */
  nextUs: number | null;
}

// ---- between the page's modules ----

/** Names a camera, for example in an address of the API. */
export interface CameraName {
  agent: string;
  camera: string;
}

/** A span of time in microseconds since 1970. */
export interface TimeSpan {
  from: number;
  to: number;
}

export interface TimeTick {
  us: number;
  text: string;
  /** A day, month or year starts here. */
  first: boolean;
}

export interface ValueTick {
  value: number;
  text: string;
}

/** A text at an axis, at this part of its length. */
export interface AxisLabel {
  text: string;
  part: number;
  first?: boolean;
}

export interface ChartData {
  /** The points by time, split at the gaps; no run is empty. */
  runs: Point[][];
  stepUs: number;
  /** The span of the answer; null before the first one. */
  loaded: TimeSpan | null;
}

/** A point by its names; `us` is the middle of its bucket. */
export interface ChartValue {
  us: number;
  min: number;
  max: number;
  mean: number;
}

/** A template's copy: its element, and the elements in it by their first class. */
export interface Copy {
  root: HTMLElement;
  parts: Record<string, HTMLElement>;
}

export interface Size {
  width: number;
  height: number;
}

export type TileState = "live" | "stale" | "waiting" | "no-signal" | "off";

/** A camera on the wall. */
export interface Tile extends CameraName, Copy {
  /** AGENT/CAMERA */
  key: string;
  canvas: HTMLCanvasElement;
  context: CanvasRenderingContext2D;
  /** null: the wall does not list the camera. */
  status: Camera | null;
  listedAt: PageTime;
  /** When the camera went down, in milliseconds since 1970. */
  since: number;
  /** When the last frame arrived, and its age then. */
  frame: { at: PageTime; age: number } | null;
  size: Size | null;
  /** When the frames of the last seconds arrived. */
  arrivals: PageTime[];
  drawn: number;
  broken: number;
  brokenAt: PageTime;
  /** The requested power state, until the status confirms it. */
  switching: { on: boolean; at: PageTime } | null;
}

/** A reading's card on the wall. */
export interface ReadingCard extends Copy {
  agent: string;
  reading: Reading;
  listedAt: PageTime;
  sparkline: SparklineData;
}

export interface SparklineData {
  /** The last hour as the history has it. */
  stored: ChartData;
  requestedAt: PageTime;
  /** Values since the page was opened. */
  live: LiveValue[];
  /** The last times between two readings, in microseconds. */
  intervals: number[];
  drawnAt: PageTime;
}

/** The readings of a few seconds that arrived while the page was open. */
export interface LiveValue extends TimeSpan {
  min: number;
  max: number;
  /** The last one. */
  value: number;
  isAfterGap: boolean;
  /** The longest silence before it that is not a gap. */
  limitUs: number;
}

export interface AgentRow extends Copy {
  ports: Copy[];
}

export interface Problem {
  tone: Tone;
  text: string;
  /** How long it has lasted; null if unknown. */
  ms: number | null;
}

/** A fact about an agent's machine; `detail` is its tooltip. */
export interface MachineFact {
  topic: string;
  text: string;
  tone: Tone;
  detail?: string;
}

export interface RecordedCamera extends CameraName {
  /** AGENT/CAMERA */
  key: string;
  spans: RecordedSpan[];
}

/** A camera's picture at the cursor. */
export interface Moment extends Copy {
  camera: RecordedCamera;
  canvas: HTMLCanvasElement;
  context: CanvasRenderingContext2D;
  shownUs: number | null;
  nextUs: number | null;
  shownAt: PageTime;
  requestedUs: number | null;
  /** The next picture takes the cursor along. */
  snapping: boolean;
  request: (us: number) => void;
}

/** A camera's track below the charts. */
export interface FootageTrack extends Copy {
  camera: RecordedCamera;
  /** By the requested time. */
  thumbnails: Map<number, Thumbnail>;
}

export interface Thumbnail {
  image: HTMLImageElement;
  us: number;
  /** The start of its slot. */
  slot: number;
}

/** A series in the history view. */
export interface SeriesChart extends Copy {
  series: Series;
  data: ChartData;
  requested: TimeSpan | null;
  /** The inputs of the last drawing. */
  drawnFor: unknown[];
  request: (span: TimeSpan) => void;
}

/** The parameters behind a view's name in the address. */
export type ViewParameters = Record<string, string | number | null>;

/** How an area that shows a span of time responds to pointers; see gestures.js. */
export interface AreaGestures {
  span: () => TimeSpan;
  show: (span: TimeSpan) => void;
  /** The pointer is pressed, or a finger moves. */
  point: (us: number) => void;
  /** The pointer was released without marking a range. */
  pin?: (us: number) => void;
  /** The pointer moves without being pressed. */
  hover?: (us: number) => void;
  leave?: () => void;
  /** Whether the wheel zooms without Ctrl. */
  zooms?: () => boolean;
  /** Whether a drag that starts with this event marks a range. */
  marks?: (event: PointerEvent) => boolean;
  mark?: (from: number, to: number, isDone: boolean) => void;
}
