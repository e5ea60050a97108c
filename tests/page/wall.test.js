import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";

import { cameras, addWallCameras, camerasInOrder, isGap } from "../../src/receiver/web/page/history/footage.js";
import { fieldValues } from "../../src/receiver/web/page/history/jump_form.js";
import { selectionText } from "../../src/receiver/web/page/history/selection.js";
import { linkNotes } from "../../src/receiver/web/page/live/agent_rows.js";
import { machineFacts, machineProblems, usedPercent } from "../../src/receiver/web/page/live/machine.js";
import { isFlooding, mainCause } from "../../src/receiver/web/page/live/port_rows.js";
import { addValue, emptySparkline, lastHour } from "../../src/receiver/web/page/live/sparkline.js";
import { frameAge, tileState } from "../../src/receiver/web/page/live/tiles.js";
import { dateTime, timeOfDay } from "../../src/receiver/web/page/shared/format.js";
import {
  agentNamed, applyChanges, fullName, hasPortRows, heardMs, isSilent, setWall, stateMs, wall,
} from "../../src/receiver/web/page/shared/wall.js";

const agent = (name, rest = {}) => ({ name, heard_ms: 0, cameras: [], ports: [], ...rest });
const healthy = { synchronised: true, uptime_s: 3600 };
const GB = 1e9;

beforeEach(() => setWall({ agents: [] }));

// ---- the wall ----

test("ages count on from their arrival", () => {
  setWall({ agents: [agent("shed", { heard_ms: 4_000 })] });
  const [shed] = wall.agents;
  // performance.now() has fractions.
  assert.equal(Math.round(heardMs(shed, wall.at + 500)), 4_500);
  assert.ok(!isSilent(shed, wall.at + 999) && isSilent(shed, wall.at + 1_001));
  assert.equal(stateMs({ for_ms: 100, at: 7 }, 57), 150);
  assert.equal(stateMs({ for_ms: null, at: 7 }, 57), null);
});

const reading = (quantity, value) => ({ port: "climate", quantity, value, age_ms: 100 });

test("changes leave what they do not name", () => {
  const door = { name: "door", for_ms: 50 };
  setWall({ role: "view", login: true, agents: [
    agent("shed", { heard_ms: 10, cameras: [door], readings: [reading("t", 20), reading("h", 50)] }), agent("barn"),
  ] });
  const before = agentNamed("shed"), humidity = before.readings.get("climate/h");
  applyChanges({ history: { on: true, cause: "" }, agents: [{ name: "shed", changed_readings: [reading("t", 21)] }] });
  const after = agentNamed("shed");
  assert.deepEqual(wall.agents.map(({ name }) => name), ["barn", "shed"]);
  assert.ok(wall.role === "view" && wall.login === true && wall.history.on);
  assert.equal(after.readings.get("climate/t").value, 21);
  assert.equal(after.readings.get("climate/h"), humidity, "a reading that stays is the same object");
  assert.equal(Math.round(heardMs(after, before.at + 90)), 100, "the age counts on from the agent's own arrival");
  assert.equal(Math.round(stateMs(after.cameras[0], before.at + 50)), 100);
});

test("an agent's head replaces the earlier one, and its readings stay", () => {
  setWall({ agents: [agent("shed", { cameras: [{ name: "door" }], readings: [reading("t", 20)] })] });
  applyChanges({ agents: [agent("shed", { heard_ms: 5 })] });
  const shed = agentNamed("shed");
  assert.deepEqual(shed.cameras, []);
  assert.deepEqual([...shed.readings.keys()], ["climate/t"]);
});

test("a list of readings replaces all, and more of it may follow", () => {
  setWall({ agents: [agent("shed", { readings: [reading("t", 20), reading("h", 50)] })] });
  applyChanges({ agents: [{ name: "shed", readings: [reading("a", 1)] }] });
  applyChanges({ agents: [{ name: "shed", changed_readings: [reading("b", 2)] }] });
  assert.deepEqual([...agentNamed("shed").readings.keys()], ["climate/a", "climate/b"]);
});

test("removed agents leave the wall, new ones are in order", () => {
  setWall({ agents: [agent("shed"), agent("barn")] });
  applyChanges({ agents: [agent("loft")], removed: ["barn", "unknown"] });
  assert.deepEqual(wall.agents.map(({ name }) => name), ["loft", "shed"]);
  applyChanges({ agents: [] });
  assert.equal(wall.agents.length, 2);
});

test("names have their agent's only among several agents", () => {
  setWall({ agents: [agent("shed")] });
  assert.equal(fullName("shed", "door"), "door");
  setWall({ agents: [agent("shed"), agent("barn")] });
  assert.equal(fullName("shed", "door"), "shed/door");
});

test("four ports need rows", () => {
  assert.ok(!hasPortRows(agent("shed", { ports: [1, 2, 3] })));
  assert.ok(hasPortRows(agent("shed", { ports: [1, 2, 3, 4] })));
});

test("a tile is off, without signal, waiting, stale or live", () => {
  const tile = (status, frame) => ({ status, frame });
  const frame = { at: 1_000, age: 500 };
  assert.equal(tileState(tile({ up: false, settings: { on: false } }, frame), 1_000), "off");
  assert.equal(tileState(tile({ up: false, settings: null }, frame), 1_000), "no-signal");
  assert.equal(tileState(tile({ up: true, settings: null }, null), 1_000), "waiting");
  assert.equal(tileState(tile(null, null), 1_000), "waiting");
  assert.equal(tileState(tile(null, frame), 2_500), "live");
  assert.equal(tileState(tile(null, frame), 2_501), "stale");
  assert.equal(frameAge(tile(null, frame), 1_200), 700);
});

// ---- agents ----

test("a link that is down and a spool that fails are named", () => {
  const links = [
    { source: "tcp://a:1", up: false, cause: "not_answering" }, { source: "tcp://b:1", up: true, cause: "" },
  ];
  const spool = { up: false, cause: "disk full", counts: {} };
  assert.deepEqual(linkNotes({ links, spool }), ["link tcp://a:1 is down: not answering", "spool: disk full"]);
  assert.deepEqual(linkNotes({ spool: null }), []);
});

test("readings in the spool are counted by both spellings", () => {
  const notes = (counts, up = true) => linkNotes({ links: [], spool: { up, cause: "x", counts } });
  for (const separator of [" ", "_"]) {
    const key = (words) => words.replaceAll(" ", separator);
    assert.deepEqual(notes({ [key("readings in memory")]: 5 }), [], "new readings are acknowledged in a moment");
    const waiting = { [key("readings in memory")]: 1, [key("readings on disk")]: 1999, [key("readings written")]: 7 };
    assert.deepEqual(notes(waiting), ["2,000 readings wait in the spool"]);
    assert.deepEqual(notes({ [key("readings on disk")]: 1 }), ["1 reading waits in the spool"]);
    assert.deepEqual(notes({ [key("readings in memory")]: 1 }, false), ["spool: x", "1 reading waits in the spool"]);
  }
  assert.deepEqual(notes({ "readings lost, no room": 1, "readings lost": 2 }), ["3 readings lost"]);
  assert.deepEqual(notes({ readings_lost_no_room: 1 }), ["1 reading lost"]);
});

test("a port's main cause is the most frequent one", () => {
  assert.equal(mainCause([["not a number", 3]]), "not a number");
  assert.equal(mainCause([["cut_line", 3], ["out_of_range", 5], ["garbled_line", 5]]), "mostly: out of range");
});

test("a port floods above a thousand lines a second", () => {
  assert.ok(!isFlooding({ up: true, lines_per_s: 1_000 }) && isFlooding({ up: true, lines_per_s: 1_001 }));
  assert.ok(!isFlooding({ up: false, lines_per_s: 5_000 }) && !isFlooding({ up: true, lines_per_s: null }));
});

test("used space is rounded down and may be unknown", () => {
  assert.equal(usedPercent({ bytes: 1000, available_bytes: 41 }), 95);
  assert.equal(usedPercent({ bytes: 100, available_bytes: 120 }), 0);
  const unknown = [undefined, { bytes: 100 }, { bytes: 0, available_bytes: 0 }];
  for (const room of unknown) assert.equal(usedPercent(room), null);
});

test("a healthy machine has no problems", () => {
  assert.deepEqual(machineProblems(healthy), []);
  assert.deepEqual(machineProblems(null), []);
  assert.deepEqual(machineFacts(healthy).map(({ text }) => text), ["up 1 h 0 min"]);
});

test("a machine's problems start with the most serious", () => {
  const machine = {
    ...healthy, temperature_c: 80, undervoltage: true, throttled: true, synchronised: false,
    disk: { bytes: 100, available_bytes: 4 }, memory: { bytes: 100, available_bytes: 5 },
  };
  assert.deepEqual(machineProblems(machine).map(({ tone, text }) => `${tone}: ${text}`), [
    "bad: its power supply is too weak", "warn: its disk is 96 % full", "warn: it is hot, 80 °C",
    "warn: its processor is throttled", "warn: its clock is not synchronised",
  ]);
});

test("a machine's facts have units and details", () => {
  const machine = {
    ...healthy, temperature_c: 48.3, undervoltage: false, undervoltage_since_boot: true, throttled_since_boot: true,
    disk: { bytes: 31 * GB, available_bytes: 21.47 * GB }, wifi: { interface: "wlan0", signal_dbm: -61 },
  };
  const facts = machineFacts(machine);
  assert.deepEqual(facts.map(({ text }) => text), [
    "undervoltage earlier", "48 °C", "throttled earlier", "disk 30 %", "wlan0 −61 dBm", "up 1 h 0 min",
  ]);
  assert.equal(facts[3].detail, "21.5 of 31 GB free");
  assert.ok(facts.every(({ tone }) => tone === "quiet"));
});

// ---- the history ----

test("cameras follow the wall, unlisted ones are last", () => {
  setWall({ agents: [agent("shed", { cameras: [{ name: "yard" }, { name: "door" }] })] });
  addWallCameras();
  for (const key of ["old/b", "old/a"]) {
    const [agent, camera] = key.split("/");
    cameras.set(key, { agent, camera, key, spans: [] });
  }
  assert.deepEqual(camerasInOrder().map(({ key }) => key), ["shed/yard", "shed/door", "old/a", "old/b"]);
});

test("without an answer nothing is a gap", () => {
  assert.equal(isGap({ agent: "a", camera: "b", key: "a/b", spans: [] }, 0), false);
});

test("an incomplete selection says what is missing", () => {
  const noon = new Date(2026, 5, 15, 12).getTime() * 1000, minute = 60e6, day = 24 * 60 * minute;
  assert.equal(selectionText(null, null), "");
  assert.equal(selectionText(noon, null), `From ${timeOfDay(noon)}: set an end`);
  assert.equal(selectionText(null, noon), `Up to ${timeOfDay(noon)}: set a start`);
  assert.equal(selectionText(noon, noon + minute), `${timeOfDay(noon)} to ${timeOfDay(noon + minute)}, 1 min`);
  assert.equal(selectionText(noon, noon + day), `${dateTime(noon)} to ${dateTime(noon + day)}, 24 h 0 min`);
});

test("the cursor's fields have two digits", () => {
  assert.deepEqual(fieldValues(new Date(2026, 0, 5, 3, 4, 5)), { date: "2026-01-05", time: "03:04:05" });
  assert.deepEqual(fieldValues(new Date(2026, 11, 31, 23, 59, 59)), { date: "2026-12-31", time: "23:59:59" });
});

// ---- sparklines ----

const add = (sparkline, age_ms, value, stale_after_ms = 10_000) =>
  addValue(sparkline, { age_ms, value, stale_after_ms });

test("values of a few seconds share a point", () => {
  const sparkline = emptySparkline();
  for (const [ageMs, value] of [[9_000, 1], [7_000, 5], [6_000, 3], [3_000, 4]]) add(sparkline, ageMs, value);
  assert.deepEqual(sparkline.live.map(({ min, max, value }) => [min, max, value]), [[1, 5, 3], [4, 4, 4]]);
});

test("late values, non-numbers and old values are left out", () => {
  const sparkline = emptySparkline();
  add(sparkline, 2 * 3_600_000, 1);
  add(sparkline, 1_000, 2);
  add(sparkline, 60_000, 3);
  add(sparkline, 0, NaN);
  assert.deepEqual(sparkline.live.map(({ value }) => value), [2]);
});

test("live values have a gap after three of their intervals or stale_after", () => {
  const gapsOf = (ages, staleAfterMs) => {
    const sparkline = emptySparkline();
    for (const [index, ageMs] of ages.entries()) add(sparkline, ageMs, index, staleAfterMs);
    return sparkline.live.filter(({ isAfterGap }) => isAfterGap).map(({ value }) => value);
  };
  const twicePerSecond = [21_000, 20_500, 20_000, 19_500, 19_000];
  assert.deepEqual(gapsOf([...twicePerSecond, 5_000, 4_500], 60_000), [6], "14 s");
  assert.deepEqual(gapsOf([...twicePerSecond, 17_700, 17_200], 60_000), [], "two readings were missed");
  assert.deepEqual(gapsOf([110_000, 100_000, 90_000, 80_000, 52_000, 42_000], 3_600_000), [], "2.8 intervals");
  assert.deepEqual(gapsOf([110_000, 100_000, 90_000, 80_000, 52_000, 42_000], 20_000), [4], "stale_after");
  assert.deepEqual(gapsOf([300_000, 240_000, 180_000, 120_000], 10_000), [1], "stale_after below the interval");
});

test("a reading that the wall lists again is no new reading", () => {
  const sparkline = emptySparkline();
  for (const ageMs of [20_000, 10_000]) for (const late of [0, 4, -3]) add(sparkline, ageMs - late, ageMs);
  assert.equal(sparkline.intervals.length, 1);
});

test("live values continue where the history ends", () => {
  const minute = 60e6, now = 100 * minute;
  const runs = [[10, 50, 80].map((at) => [at * minute, 0, 0, 0])];
  const stored = { runs, stepUs: minute, loaded: { from: 0, to: 90.5 * minute } };
  const live = (from, to, isAfterGap = false) =>
    ({ from: from * minute, to: to * minute, min: 0, max: 0, value: 0, isAfterGap, limitUs: 3 * minute });
  const joined = (stored, ...live) => lastHour({ stored, live }, now).map((run) => run.map(([us]) => us / minute));
  const ninety = { ...stored, runs: [...stored.runs, [[90 * minute, 0, 0, 0]]] };
  // The history's last minute ends when it was requested; what the page already had then is not drawn twice.
  assert.deepEqual(joined(ninety, live(85, 89), live(90, 91), live(95, 95)), [[50.5, 80.5], [90.25, 90.75, 95]]);
  assert.deepEqual(joined(ninety, live(93, 93), live(99, 99, true)), [[50.5, 80.5], [90.25, 93], [99]]);
  assert.deepEqual(joined(stored, live(95, 95)), [[50.5, 80.5], [95]], "a gap where the history ends");
  assert.deepEqual(joined({ runs: [], stepUs: 0, loaded: null }, live(95, 95), live(96, 96)), [[95, 96]]);
});
