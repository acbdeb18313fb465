// @ts-check
// The end of the page: words explained, and a link that a teacher can hand out.

import { t, words } from "../i18n.js";
import { button, named } from "../kit.js";
import { h } from "../views/dom.js";

/** @import { App } from "../kit.js" */

const TERMS = ["policy", "reference", "reward", "kl", "beta", "advantage", "value", "clip", "entropy", "gold", "hacking", "rollout"];
/** Names that `hide=` in the address knows; each marks its controls with data-control. */
const CONTROLS = ["preset", "seed", "beta", "reset", "slow", "share", "fork", "own", "chat", "teacher"];

/** @param {HTMLElement} root @param {App} app */
export function buildGlossary(root, app) {
  const terms = TERMS.map((term) =>
    h("details", {}, words(h("summary"), `glossary.${term}`), words(h("p"), `glossary.${term}_text`)),
  );
  root.append(h("div", { class: "terms" }, ...terms), named("teacher", teacher(app)));
}

/** @param {App} app */
function teacher({ settings }) {
  const link = h("input", { type: "url", readonly: true, id: "teacher-link" });
  const boxes = CONTROLS.map((name) => {
    const box = h("input", { type: "checkbox", value: name, change: write });
    return { box, label: h("label", { class: "tick" }, box, words(h("span"), `control.${name}`)) };
  });
  function write() {
    link.value = settings.link({ hide: boxes.filter(({ box }) => box.checked).map(({ box }) => box.value) });
  }
  const said = h("span", { role: "status", class: "quiet" });
  const copy = button("teacher.copy", async () => {
    link.select();
    await navigator.clipboard.writeText(link.value);
    said.textContent = t("teacher.copied");
  });
  settings.listen(write);
  return h(
    "details",
    { class: "panel teacher" },
    words(h("summary"), "teacher.title"),
    words(h("p"), "teacher.text"),
    h("fieldset", { class: "row" }, words(h("legend"), "teacher.hide"), ...boxes.map(({ label }) => label)),
    h("div", { class: "row" }, words(h("label", { for: "teacher-link" }), "teacher.link"), link, copy, said),
  );
}
