// @ts-check
// The questions before an agent that is away is forgotten or merged into another one.

import { fetchAgents, forgetAgent, mergeAgent } from "../shared/api.js";
import { asKind, byId, setText } from "../shared/dom.js";
import { showToast } from "../shared/toast.js";

/** @type {() => Promise<string>} */
let act = async () => "";

export function listen() {
  for (const id of ["forget", "merge"]) {
    const dialog = byId(id, HTMLDialogElement);
    asKind(dialog.querySelector("form"), HTMLFormElement).addEventListener("submit", (event) => onAnswer(event, dialog));
  }
}

/** @param {string} agent */
export function askToForget(agent) {
  const dialog = byId("forget", HTMLDialogElement);
  setText(byId("forget-title"), `Forget ${agent}?`);
  asKind(dialog.querySelector("form"), HTMLFormElement).reset();
  act = async () => {
    const withData = dialog.querySelector("[value=delete]:checked") !== null;
    await forgetAgent(agent, withData);
    return withData ? `${agent} is forgotten, and its data is deleted` : `${agent} is forgotten`;
  };
  open(dialog);
}

/** @param {string} agent */
export async function askToMerge(agent) {
  const dialog = byId("merge", HTMLDialogElement), into = byId("merge-into", HTMLSelectElement);
  setText(byId("merge-title"), `Merge ${agent} into…`);
  into.replaceChildren();
  act = async () => {
    await mergeAgent(agent, into.value);
    return `${agent} is now ${into.value}`;
  };
  open(dialog);
  try {
    const { agents } = await fetchAgents();
    const others = agents.map(({ name }) => name).filter((name) => name !== agent);
    into.replaceChildren(...others.map((name) => new Option(name)));
    if (!others.length) showError(dialog, "There is no other agent. Start the renamed one first.");
  } catch (error) {
    showError(dialog, errorText(error));
  }
}

/** @param {HTMLDialogElement} dialog */
function open(dialog) {
  showError(dialog, "");
  dialog.showModal();
}

/** @param {unknown} error */
const errorText = (error) => (error instanceof Error ? error.message : String(error));

/** @param {HTMLDialogElement} dialog @param {string} text */
function showError(dialog, text) {
  setText(asKind(dialog.querySelector(".error"), HTMLElement), text);
}

/**
 * Acts if the answer is yes. The dialog stays open until the receiver has agreed.
 * @param {SubmitEvent} event @param {HTMLDialogElement} dialog
 */
async function onAnswer(event, dialog) {
  const button = asKind(event.submitter, HTMLButtonElement);
  if (button.value !== "yes") return;
  event.preventDefault();
  button.disabled = true;
  showError(dialog, "");
  try {
    showToast(await act());
    dialog.close();
  } catch (error) {
    showError(dialog, errorText(error));
  } finally {
    button.disabled = false;
  }
}
