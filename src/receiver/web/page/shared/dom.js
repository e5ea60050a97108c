// @ts-check
/** @import { Copy } from "../../types.js" */

// Finds, copies and changes elements. The setters write only what has changed, because most run several times a second.

/**
 * Returns the element with this id.
 * @template {Element} [T=HTMLElement]
 * @param {string} id @param {new () => T} [kind] its class, if it is a special one
 * @returns {T}
 */
export function byId(id, kind) {
  const node = document.getElementById(id);
  return kind ? asKind(node, kind) : /** @type {T} */ (/** @type {unknown} */ (asKind(node, HTMLElement)));
}

/**
 * Returns the element as one of this class.
 * @template {Element} T
 * @param {Element | null | undefined} node @param {new () => T} kind
 * @returns {T}
 */
export function asKind(node, kind) {
  if (node instanceof kind) return node;
  throw new TypeError(`${node?.id || node} is not of the class ${kind.name}`);
}

/**
 * Returns the nearest element with this selector, from the event's target outwards.
 * @param {Event} event @param {string} selector @returns {HTMLElement | null}
 */
export const closest = ({ target }, selector) => (target instanceof Element ? target.closest(selector) : null);

// Texts come from the network. Only textContent, title and dataset are set, and none of them parses markup.

/** @param {Element} node @param {string} text */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** @param {HTMLElement} node @param {string} text */
export function setTitle(node, text) {
  if (node.title !== text) node.title = text;
}

/**
 * Sets a link's address; null removes it, and the element is no longer a link.
 * @param {Element} link @param {string | null} url
 */
export function setHref(link, url) {
  if (link.getAttribute("href") === url) return;
  if (url === null) link.removeAttribute("href");
  else link.setAttribute("href", url);
}

/** @param {HTMLElement} node @param {string} key @param {string | number | boolean | null} value */
export function setData(node, key, value) {
  if (node.dataset[key] !== String(value)) node.dataset[key] = String(value);
}

/** @param {Element} node @param {boolean} isPressed */
export const setPressed = (node, isPressed) => node.setAttribute("aria-pressed", String(isPressed));

/**
 * Copies a template.
 * @param {string} template its id @returns {Copy}
 */
export function copyTemplate(template) {
  const { content } = byId(template, HTMLTemplateElement);
  const root = asKind(content.firstElementChild, HTMLElement).cloneNode(true);
  if (!(root instanceof HTMLElement)) throw new TypeError(template);
  /** @type {Record<string, HTMLElement>} */
  const parts = {};
  for (const node of root.querySelectorAll("[class]")) {
    parts[node.classList[0]] ??= /** @type {HTMLElement} an SVG element among them is used as an Element */ (node);
  }
  return { root, parts };
}

/** @param {string} text */
export function makeButton(text = "") {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = text;
  return button;
}

/** @param {Element} parent @param {number} index @param {Element} node */
export function placeAt(parent, index, node) {
  if (parent.children[index] !== node) parent.insertBefore(node, parent.children[index] ?? null);
}

/**
 * Adds or removes children until there are `count`, and returns them. The others stay, and with them the focus.
 * @template {Element} T
 * @param {Element} parent @param {number} count @param {() => T} make
 * @returns {T[]}
 */
export function resizeList(parent, count, make) {
  while (parent.children.length > count) parent.lastElementChild?.remove();
  while (parent.children.length < count) parent.append(make());
  return /** @type {T[]} */ ([...parent.children]);
}

/** Returns the size of 1rem in pixels. */
export const remInPixels = () => parseFloat(getComputedStyle(document.documentElement).fontSize);

/**
 * Whether a key is not meant for the page's shortcuts: it has a modifier, or belongs to a field or a dialog.
 * @param {KeyboardEvent} event
 */
export const isHandledElsewhere = (event) =>
  event.altKey || event.ctrlKey || event.metaKey || event.defaultPrevented ||
  closest(event, "input, select, textarea") !== null || document.querySelector("dialog[open]") !== null;
