// @ts-check
/** @import { AgentMessage } from "../types.js" */

// The page's entry: starts the views, and renders the wall whenever it changes.

import * as chart from "./charts/chart.js";
import { refreshSeries } from "./charts/series.js";
import * as history from "./history/history.js";
import * as jumpForm from "./history/jump_form.js";
import * as moments from "./history/moments.js";
import * as playback from "./history/playback.js";
import * as selection from "./history/selection.js";
import * as seriesCharts from "./history/series_charts.js";
import { renderAgent, syncAgents } from "./live/agent_rows.js";
import * as agentDialogs from "./live/agent_dialogs.js";
import * as cameraActions from "./live/camera_actions.js";
import { dropIfDead, startConnection } from "./live/connection.js";
import * as enlargedTile from "./live/enlarged_tile.js";
import { showFrame } from "./live/frames.js";
import { renderEmpty, renderHealth } from "./live/health.js";
import { layOut } from "./live/layout.js";
import { cards, dropUnlistedCards, renderCard, syncCards } from "./live/reading_cards.js";
import * as shortcuts from "./live/shortcuts.js";
import { renderTile, syncTiles, tiles } from "./live/tiles.js";
import { byId, setData, setText } from "./shared/dom.js";
import { addView, startViews } from "./shared/views.js";
import { agentCount, applyChanges, setWall, wall } from "./shared/wall.js";

const RENDER_INTERVAL_MS = 200;

let renderedAt = 0;

/** @param {string} text */
function onText(text) {
  const message = JSON.parse(text);
  if (message.type === "wall") setWall(message);
  else if (message.type === "changes") applyChanges(message);
  else return;
  syncTiles();
  syncCards(message.agents.map((/** @type {AgentMessage} */ agent) => agent.name));
  syncAgents();
  enlargedTile.updateEnlarged();
  // Browsers slow down timers in hidden tabs, so a changed wall is rendered here if the timer is late.
  if (performance.now() - renderedAt >= RENDER_INTERVAL_MS) render();
}

function render() {
  const at = (renderedAt = performance.now());
  setData(document.body, "agents", agentCount());
  setText(byId("connection"), document.body.dataset.connection ?? "");
  byId("logout").hidden = wall.login !== true;
  byId("cameras").hidden = tiles.size === 0;
  byId("readings").hidden = cards.size === 0;
  byId("agents").hidden = wall.agents.length === 0;
  for (const tile of tiles.values()) {
    renderTile(tile, at);
    cameraActions.renderActions(tile, at);
  }
  for (const card of cards.values()) renderCard(card, at);
  for (const agent of wall.agents) renderAgent(agent, at);
  renderHealth(at);
  renderEmpty();
  layOut();
}

function tick() {
  dropIfDead(performance.now());
  dropUnlistedCards(performance.now());
  render();
}

document.addEventListener("visibilitychange", render);
addEventListener("resize", layOut);
const modules = [
  agentDialogs, cameraActions, chart, selection, history, jumpForm, shortcuts, enlargedTile, seriesCharts, moments, playback,
];
for (const module of modules) module.listen();
addView("now", { enter: layOut, leave: () => enlargedTile.enlarge(null) });
startViews();
refreshSeries();
setInterval(tick, RENDER_INTERVAL_MS);
startConnection({ onText, onFrame: showFrame });
