// @ts-check
/** @import { ViewParameters } from "../../types.js" */

// Switches between the views. The address names the view behind its #, so a view can be bookmarked, shared and gone
// back to.

import { asKind, byId } from "./dom.js";

/**
 * The callbacks of a view: `enter` when it is shown or its parameters change, and `leave` when it is hidden.
 * @typedef {{ enter: (parameters: Record<string, string>) => void, leave: () => void }} View
 */

/** @type {Map<string, View>} */
const views = new Map();
let shown = "";

/** @param {string} name */
export const isShown = (name) => name === shown;

/** @param {string} name @param {Partial<View>} view */
export function addView(name, { enter = () => {}, leave = () => {} } = {}) {
  views.set(name, { enter, leave });
}

/**
 * Returns a view's address; parameters that are null are left out.
 * @param {string} name @param {ViewParameters} parameters
 */
export function viewAddress(name, parameters = {}) {
  const given = Object.entries(parameters).filter(([, value]) => value !== null);
  const query = new URLSearchParams(given.map(([key, value]) => [key, String(value)])).toString();
  return `#${name}${query && "?"}${query}`;
}

/**
 * Splits an address's hash into the view's name and its parameters.
 * @param {string} hash
 */
export function parseAddress(hash) {
  const [name, query] = hash.slice(1).split("?");
  return { name, parameters: Object.fromEntries(new URLSearchParams(query)) };
}

/** @param {string} name @param {ViewParameters} [parameters] */
export function openView(name, parameters) {
  location.hash = viewAddress(name, parameters);
}

/**
 * Changes the parameters of the shown view without a step in the browser's history. An unchanged address is not replaced,
 * because that would cancel a step back that has just begun.
 * @param {string} name @param {ViewParameters} parameters
 */
export function replaceAddress(name, parameters) {
  const address = viewAddress(name, parameters);
  if (isShown(name) && location.hash !== address) history.replaceState(null, "", address);
}

/** Shows the view that the address names, now and whenever the address changes. */
export function startViews() {
  addEventListener("hashchange", show);
  show();
}

function show() {
  const { name: wanted, parameters } = parseAddress(location.hash);
  const name = views.has(wanted) ? wanted : "now";
  if (name !== shown) views.get(shown)?.leave();
  shown = name;
  document.body.dataset.view = name;
  for (const node of document.querySelectorAll("[data-of-view]")) {
    const view = asKind(node, HTMLElement);
    view.hidden = view.dataset.ofView !== name;
  }
  for (const node of byId("views").children) {
    if (asKind(node, HTMLAnchorElement).hash === `#${name}`) node.setAttribute("aria-current", "page");
    else node.removeAttribute("aria-current");
  }
  views.get(name)?.enter(parameters);
}
