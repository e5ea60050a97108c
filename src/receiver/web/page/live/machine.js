// @ts-check
/** @import { Machine, MachineFact, Room, Tone } from "../../types.js" */

// The state of an agent's machine: a line of facts, and its problems as sentences.

import { resizeList, setData, setText, setTitle } from "../shared/dom.js";
import { duration } from "../shared/format.js";

// The agent warns at the same values.
const HOT_C = 80;
const NEARLY_FULL_PERCENT = 95;

/**
 * Returns the machine's present problems, the most serious ones first.
 * @param {Machine | null} machine @returns {{ tone: Tone, text: string }[]}
 */
export function machineProblems(machine) {
  if (!machine) return [];
  const { temperature_c = NaN, undervoltage, throttled, memory, disk, synchronised } = machine;
  const memoryUsed = usedPercent(memory), diskUsed = usedPercent(disk);
  /** @type {[boolean | undefined, Tone, string][]} */
  const problems = [
    [undervoltage, "bad", "its power supply is too weak"],
    [isNearlyFull(diskUsed), "warn", `its disk is ${diskUsed} % full`],
    [isNearlyFull(memoryUsed), "warn", `its memory is ${memoryUsed} % full`],
    [temperature_c >= HOT_C, "warn", `it is hot, ${Math.round(temperature_c)} °C`],
    [throttled, "warn", "its processor is throttled"],
    [!synchronised, "warn", "its clock is not synchronised"],
  ];
  return problems.filter(([isPresent]) => isPresent).map(([, tone, text]) => ({ tone, text }));
}

/**
 * Returns how much is used, rounded down; null if unknown.
 * @param {Room | undefined} room
 */
export function usedPercent(room) {
  const { bytes = 0, available_bytes: available = NaN } = room ?? {};
  if (!bytes || !Number.isFinite(available)) return null;
  return Math.floor((100 * Math.max(0, bytes - available)) / bytes);
}

/** @param {number | null} percent */
const isNearlyFull = (percent) => percent !== null && percent > NEARLY_FULL_PERCENT;

/** @param {boolean} isProblem @returns {Tone} */
const warnIf = (isProblem) => (isProblem ? "warn" : "quiet");

/** @param {Machine} machine @returns {MachineFact[]} */
export function machineFacts(machine) {
  const { temperature_c: degrees, wifi, synchronised, uptime_s } = machine;
  const facts = [
    powerFact(machine),
    degrees !== undefined && Number.isFinite(degrees)
      && fact("heat", `${Math.round(degrees)} °C`, warnIf(degrees >= HOT_C)),
    speedFact(machine),
    roomFact("memory", machine.memory),
    roomFact("disk", machine.disk),
    wifi && fact("wifi", `${wifi.interface} ${String(Math.round(wifi.signal_dbm)).replace("-", "−")} dBm`),
    !synchronised && fact("clock", "clock not synchronised", "warn"),
    fact("uptime", `up ${duration(uptime_s * 1000)}`),
  ];
  return facts.flatMap((one) => one || []);
}

/** @param {string} topic @param {string} text @param {Tone} tone @param {string} detail @returns {MachineFact} */
const fact = (topic, text, tone = "quiet", detail = "") => ({ topic, text, tone, detail });

const SINCE_BOOT = "at least once since the machine started";

/** @param {Machine} machine */
function powerFact({ undervoltage, undervoltage_since_boot }) {
  if (undervoltage) return fact("power", "undervoltage", "bad");
  return undervoltage_since_boot && fact("power", "undervoltage earlier", "quiet", SINCE_BOOT);
}

/** @param {Machine} machine */
function speedFact({ throttled, throttled_since_boot }) {
  if (throttled) return fact("speed", "throttled", "warn");
  return throttled_since_boot && fact("speed", "throttled earlier", "quiet", SINCE_BOOT);
}

/** @param {string} topic @param {Room | undefined} room */
function roomFact(topic, room) {
  const percent = usedPercent(room);
  if (!room || percent === null) return null;
  const free = `${gigabytes(room.available_bytes ?? 0)} of ${gigabytes(room.bytes)} GB free`;
  return fact(topic, `${topic} ${percent} %`, warnIf(isNearlyFull(percent)), free);
}

/** @param {number} bytes */
const gigabytes = (bytes) => (bytes / 1e9).toLocaleString("en", { maximumFractionDigits: 1 });

/**
 * Shows the facts; none if the machine's present state is unknown.
 * @param {HTMLElement} line @param {Machine | null} machine
 */
export function renderMachine(line, machine) {
  const facts = machine ? machineFacts(machine) : [];
  const nodes = resizeList(line, facts.length, () => document.createElement("span"));
  facts.forEach(({ topic, text, tone, detail = "" }, index) => {
    const node = nodes[index];
    setData(node, "about", topic);
    setData(node, "tone", tone);
    setText(node, text);
    setTitle(node, detail);
  });
}
