import assert from "node:assert/strict";
import { existsSync, readFileSync, readdirSync } from "node:fs";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

const WEB = new URL("../../src/receiver/web/", import.meta.url);
const read = (path) => readFileSync(new URL(path, WEB), "utf8");
const folders = ["charts", "history", "live", "shared"];
const modules = folders.flatMap((folder) =>
  readdirSync(new URL(`page/${folder}`, WEB)).filter((name) => name.endsWith(".js")).map((name) => `${folder}/${name}`));
const sources = new Map([...modules, "page.js"].map((path) => [path, read(`page/${path}`)]));
const index = read("page/index.html");

/** The folders from which a folder's modules may import. */
const ALLOWED = {
  shared: ["shared"], charts: ["shared", "charts"], live: ["shared", "charts", "live"],
  history: ["shared", "charts", "history"],
};

test("folders import only what is below them", () => {
  for (const path of modules) {
    const [folder] = path.split("/");
    for (const [, from] of sources.get(path).matchAll(/from "([^"]+\.js)"/g)) {
      const imported = fileURLToPath(new URL(from, new URL(`page/${path}`, WEB)));
      const [, target] = imported.match(/\/page\/(?:(\w+)\/)?\w+\.js$/) ?? [];
      if (/types\.js$/.test(from)) continue;
      assert.ok(ALLOWED[folder].includes(target), `${path} imports ${from}`);
    }
  }
});

test("every module is type-checked", () => {
  for (const [path, source] of sources) assert.ok(source.startsWith("// @ts-check\n"), path);
});

test("every id that a script names is in the page", () => {
  const ids = new Set([...index.matchAll(/ id="([^"]+)"/g)].map(([, id]) => id));
  for (const [path, source] of sources) {
    const named = [...source.matchAll(/(?:byId|copyTemplate|field|write)\("([a-z-]+)"/g)].map(([, id]) => id);
    const ofChart = path === "charts/chart.js"
      ? [...source.matchAll(/node\("([a-z-]+)"\)/g)].map(([, id]) => `chart-${id}`) : [];
    for (const id of [...named, ...ofChart]) assert.ok(ids.has(id), `${path}: ${id}`);
  }
});

test("every part that a script names is a class in the page", () => {
  const classes = new Set([...index.matchAll(/ class="([^" ]+)/g)].map(([, name]) => name));
  for (const [path, source] of sources) {
    const named = [...source.matchAll(/parts(?:\.(\w+)|\["([a-z-]+)"\])/g)].map(([, dotted, quoted]) => dotted ?? quoted);
    for (const name of named) assert.ok(classes.has(name), `${path}: ${name}`);
  }
});

test("every file that the HTML loads exists", () => {
  for (const html of [index, read("login.html")]) {
    for (const [, path] of html.matchAll(/(?:href|src)="\/([^"]+\.\w+)"/g)) {
      assert.ok(existsSync(new URL(`page/${path}`, WEB)), path);
    }
  }
});
