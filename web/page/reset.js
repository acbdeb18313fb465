// @ts-check
// Asks before a lesson is dropped.

import { words } from "./i18n.js";
import { h } from "./views/dom.js";

/** @import { Store } from "./store.js" */

/** Calls `reset`, after a question if there is something to lose. @param {Store} store @param {() => void} reset */
export function confirmReset(store, reset) {
  if (Object.keys(store.state.runs).length === 0) return reset();
  const yes = words(h("button", { class: "primary", value: "yes" }), "reset.yes");
  const no = words(h("button", { value: "no" }), "reset.no");
  const title = words(h("h2", { id: "reset-title" }), "reset.title");
  const dialog = h("dialog", { "aria-labelledby": "reset-title" }, h("form", { method: "dialog" }, title, words(h("p"), "reset.text"), h("div", { class: "row" }, no, yes)));
  dialog.addEventListener("close", () => {
    dialog.remove();
    if (dialog.returnValue === "yes") reset();
  });
  document.body.append(dialog);
  dialog.showModal();
}
