// The receiver's messages come in; tiles, reading cards and one sentence of health go out.

import * as acts from "./acts.js";
import { renderAgent, syncAgents } from "./agents.js";
import * as chart from "./chart.js";
import { byId, setData, setText } from "./dom.js";
import { showFrame } from "./frames.js";
import { renderEmpty, renderHealth } from "./health.js";
import * as cut from "./cut.js";
import * as history from "./history.js";
import * as jump from "./jump.js";
import * as keys from "./keys.js";
import * as large from "./large.js";
import * as lines from "./lines.js";
import * as moments from "./moments.js";
import * as play from "./play.js";
import { layOut } from "./layout.js";
import { keepLinked, loseIfDead } from "./link.js";
import { cards, renderCard, syncCards } from "./readings.js";
import { renderTile, syncTiles, tiles } from "./tiles.js";
import { addView, follow } from "./view.js";
import { refreshSeries } from "./series.js";
import { agentsWord, takeWall, wall } from "./wall.js";

const RENDER_MS = 200;

let renderedAt = 0;

function hear(text) {
  const message = JSON.parse(text);
  if (message.type !== "wall") return;
  takeWall(message);
  syncTiles();
  syncCards();
  syncAgents();
  large.keepLarge();
  // Timers sleep in a hidden tab, so the wall itself renders when the timer is late.
  if (performance.now() - renderedAt >= RENDER_MS) render();
}

function render() {
  const at = (renderedAt = performance.now());
  setData(document.body, "agents", agentsWord());
  setText(byId("connection"), document.body.dataset.connection);
  byId("logout").hidden = wall.login !== true;
  byId("cameras").hidden = tiles.size === 0;
  byId("readings").hidden = cards.size === 0;
  byId("agents").hidden = wall.agents.length === 0;
  for (const tile of tiles.values()) {
    renderTile(tile, at);
    acts.renderActs(tile, at);
  }
  for (const card of cards.values()) renderCard(card, at);
  for (const agent of wall.agents) renderAgent(agent, at);
  renderHealth(at);
  renderEmpty();
  layOut();
}

function tick() {
  loseIfDead(performance.now());
  render();
}

document.addEventListener("visibilitychange", render);
addEventListener("resize", layOut);
for (const part of [acts, chart, cut, history, jump, keys, large, lines, moments, play]) part.listen();
addView("now", { enter: layOut, leave: () => large.enlarge(null) });
follow();
refreshSeries();
setInterval(tick, RENDER_MS);
keepLinked(hear, showFrame);
