// The page's elements. What is set anew every moment is written only where it changed.

export const byId = (id) => document.getElementById(id);

// Texts come from the wire: textContent, title and dataset are the only ways in, and none of them parses markup.

export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

export function setTitle(node, text) {
  if (node.title !== text) node.title = text;
}

/** null takes the address away: then it is no link. */
export function setHref(link, where) {
  if (link.getAttribute("href") === where) return;
  if (where === null) link.removeAttribute("href");
  else link.setAttribute("href", where);
}

export function setData(node, key, value) {
  if (node.dataset[key] !== String(value)) node.dataset[key] = value;
}

/** A template's copy, and its parts by their first class. */
export function clone(template) {
  const root = byId(template).content.firstElementChild.cloneNode(true);
  const parts = {};
  for (const node of root.querySelectorAll("[class]")) parts[node.classList[0]] ??= node;
  return { root, parts };
}

export function placeAt(parent, index, node) {
  if (parent.children[index] !== node) parent.insertBefore(node, parent.children[index] ?? null);
}

/** Keys that are no shortcut of the page's: with another one held, or meant for a field or a dialog. */
export const isForOthers = (event) =>
  event.altKey || event.ctrlKey || event.metaKey || event.defaultPrevented ||
  event.target.matches("input, select, textarea") || document.querySelector("dialog[open]") !== null;
