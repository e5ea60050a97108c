// Which view is shown. The address says it, behind its hash, so that a view can be kept, shared and gone back to.

import { byId } from "./dom.js";

const views = new Map(); // by name: what it does when it comes, changes its words and goes
let shown = "";

export const isShown = (name) => name === shown;

/** enter({at, from, …}) is called with the words behind the name, also when only they change; leave() as it goes. */
export function addView(name, { enter = () => {}, leave = () => {} } = {}) {
  views.set(name, { enter, leave });
}

export const address = (name, words = {}) => {
  const said = new URLSearchParams(Object.entries(words).filter(([, word]) => word !== null)).toString();
  return `#${name}${said && "?"}${said}`;
};

export function go(name, words) {
  location.hash = address(name, words);
}

/** The same view with other words, which is no step to go back over. */
export function keepAddress(name, words) {
  if (isShown(name)) history.replaceState(null, "", address(name, words));
}

export function follow() {
  addEventListener("hashchange", show);
  show();
}

function show() {
  const [said, words] = location.hash.slice(1).split("?");
  const name = views.has(said) ? said : "now";
  if (name !== shown) views.get(shown)?.leave();
  shown = name;
  document.body.dataset.view = name;
  for (const view of document.querySelectorAll("[data-of-view]")) view.hidden = view.dataset.ofView !== name;
  for (const link of byId("views").children) {
    if (link.hash === `#${name}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  views.get(name).enter(Object.fromEntries(new URLSearchParams(words)));
}
