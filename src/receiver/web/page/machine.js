// How the machine is that an agent runs on: in a line of small print, and what is wrong with it in a sentence.

import { setData, setText, setTitle } from "./dom.js";
import { duration } from "./words.js";

// src/machine/mod.rs has the same numbers.
const HOT_C = 80;
const NEARLY_FULL = 95;

/** Each with its tone, the worst first; nothing of what was before, which nobody can mend now. */
export function machineProblems(machine) {
  if (!machine) return [];
  const { temperature_c, undervoltage, throttled, memory, disk, synchronised } = machine;
  const [memoryUsed, diskUsed] = [memory, disk].map(usedPercent);
  return [
    undervoltage && ["bad", "its power supply is too weak"],
    diskUsed > NEARLY_FULL && ["warn", `its disk is ${diskUsed} % full`],
    memoryUsed > NEARLY_FULL && ["warn", `its memory is ${memoryUsed} % full`],
    temperature_c >= HOT_C && ["warn", `it is hot, ${Math.round(temperature_c)} °C`],
    throttled && ["warn", "its processor is throttled"],
    !synchronised && ["warn", "its clock is not synchronised"],
  ].filter(Boolean);
}

/** In hundredths; null when nobody knows. As `used_percent` has it. */
function usedPercent(room) {
  if (!room?.bytes || !Number.isFinite(room.available_bytes)) return null;
  return Math.floor((100 * Math.max(0, room.bytes - room.available_bytes)) / room.bytes);
}

/** The line's parts: what it is about, its words, its tone, and what else is to be said. */
function figures(machine) {
  const { temperature_c, memory, disk, wifi, synchronised, uptime_s } = machine;
  const [memoryUsed, diskUsed] = [memory, disk].map(usedPercent);
  const tone = (isWarn) => (isWarn ? "warn" : "quiet");
  return [
    power(machine),
    Number.isFinite(temperature_c) && ["heat", `${Math.round(temperature_c)} °C`, tone(temperature_c >= HOT_C)],
    speed(machine),
    memoryUsed !== null && ["memory", `memory ${memoryUsed} %`, tone(memoryUsed > NEARLY_FULL), ofBytes(memory)],
    diskUsed !== null && ["disk", `disk ${diskUsed} %`, tone(diskUsed > NEARLY_FULL), ofBytes(disk)],
    wifi && ["wifi", `${wifi.interface} ${String(Math.round(wifi.signal_dbm)).replace("-", "−")} dBm`, "quiet"],
    !synchronised && ["clock", "clock not synchronised", "warn"],
    ["uptime", `up ${duration(uptime_s * 1000)}`, "quiet"],
  ].filter(Boolean);
}

function power({ undervoltage, undervoltage_since_boot }) {
  if (undervoltage) return ["power", "undervoltage", "bad"];
  return undervoltage_since_boot && ["power", "undervoltage before", "quiet", "at some time since it was started"];
}

function speed({ throttled, throttled_since_boot }) {
  if (throttled) return ["speed", "throttled", "warn"];
  return throttled_since_boot && ["speed", "throttled before", "quiet", "at some time since it was started"];
}

const ofBytes = ({ bytes, available_bytes }) => `${gigabytes(available_bytes)} of ${gigabytes(bytes)} GB are free`;
const gigabytes = (bytes) => (bytes / 1e9).toLocaleString("en", { maximumFractionDigits: 1 });

/** null: nothing is known of now. */
export function renderMachine(line, machine) {
  const parts = machine ? figures(machine) : [];
  while (line.children.length > parts.length) line.lastChild.remove();
  while (line.children.length < parts.length) line.append(document.createElement("span"));
  parts.forEach(([about, words, tone, more = ""], index) => {
    const node = line.children[index];
    setData(node, "about", about);
    setData(node, "tone", tone);
    setText(node, words);
    setTitle(node, more);
  });
}
