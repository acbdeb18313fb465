// @ts-check
// Ask one or several models; the same prompt and seed for all of them.

import { labelled, t, words } from "../i18n.js";
import { field, whenChanged } from "../kit.js";
import { runName } from "../names.js";
import { h } from "../views/dom.js";

/** @import { App } from "../kit.js" */
/** @import { State } from "../state.js" */

/** A reward model gives a score, no answer. */
const SILENT = "reward";
const FIRST_TICKED = ["base", "sft", "ppo", "dpo"];

/** @param {HTMLElement} root @param {App} app */
export function buildChat(root, app) {
  const models = h("fieldset", { class: "row" });
  const prompt = labelled(h("input", { type: "text", maxlength: 500, autocomplete: "off" }), "placeholder", "chat.placeholder");
  const temperature = h("input", { type: "number", min: 0, max: 2, step: 0.1, value: 1, required: true, class: "narrow" });
  const seed = h("input", { type: "number", min: 0, step: 1, value: 1, required: true, class: "narrow" });
  const ask = words(h("button", { type: "submit", class: "primary", disabled: true }), "chat.send");
  const log = h("div", { class: "chat-log", role: "region" });
  let id = 0;

  const submit = (/** @type {SubmitEvent} */ event) => {
    event.preventDefault();
    const chosen = [...models.querySelectorAll("input")].filter(({ checked }) => checked).map(({ value }) => value);
    if (chosen.length === 0) return;
    const text = prompt.value.trim() || prompt.placeholder;
    const asked = chosen.map((model) => ({ id: (id += 1), model }));
    app.store.hear({ event: "page_ask", question: { prompt: text, asked } });
    for (const { id: number, model } of asked) {
      app.send({ command: "chat", id: number, model, prompt: text, temperature: temperature.valueAsNumber, seed: seed.valueAsNumber });
    }
  };
  const form = h("form", { class: "panel chat", submit }, models, h("div", { class: "row grow" }, field("chat.prompt", prompt), field("chat.temperature", temperature), field("chat.seed", seed), ask));

  const drawModels = (/** @type {string[]} */ names) => {
    const before = new Map([...models.querySelectorAll("input")].map(({ value, checked }) => [value, checked]));
    const boxes = names.map((name) => {
      const box = h("input", { type: "checkbox", value: name, checked: before.get(name) ?? FIRST_TICKED.includes(name) });
      return h("label", { class: "tick" }, box, runName(name));
    });
    models.replaceChildren(h("legend", {}, t("chat.models")), ...(boxes.length > 0 ? boxes : [h("p", { class: "quiet" }, t("chat.none"))]));
    ask.disabled = boxes.length === 0;
  };
  const reply = (/** @type {State["replies"][number] | undefined} */ said) => {
    if (!said) return h("p", { class: "quiet" }, t("chat.writing"));
    return h("p", { class: said.done ? "said" : "said growing" }, said.text || (said.done ? t("chat.empty") : t("chat.writing")));
  };
  const drawLog = (/** @type {State} */ { questions, replies }) => {
    log.setAttribute("aria-label", t("chat.replies"));
    log.hidden = questions.length === 0;
    log.replaceChildren(
      ...questions.map(({ prompt: text, asked }) =>
        h("section", { class: "panel" }, h("h3", {}, text), h("div", { class: "columns" }, ...asked.map((each) => h("div", { class: "reply" }, h("h4", {}, runName(each.model)), reply(replies[each.id]))))),
      ),
    );
  };
  whenChanged(app.store, form, ({ lesson, recorded }) => [recorded ? "" : lesson.models.join("\n")], (names) => drawModels(names.split("\n").filter((/** @type {string} */ name) => name !== "" && name !== SILENT)));
  whenChanged(app.store, root, (state) => [state.replies, state.questions], () => drawLog(app.store.state));
  root.append(form, log);
}
