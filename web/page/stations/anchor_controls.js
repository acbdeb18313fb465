// @ts-check
// What can be done to the anchor: move β, choose runs to lay over each other, fork one.

import { labelled, t, words } from "../i18n.js";
import { button, field, setOptions, whenChanged } from "../kit.js";
import { runName } from "../names.js";
import { betaOf, isPpo, metricsAt, ppoForChart, ppoRuns } from "../selectors.js";
import { h } from "../views/dom.js";
import { fixed, short } from "../views/format.js";

/** @import { App } from "../kit.js" */
/** @import { State } from "../state.js" */

/** The slider's end; forks take any β. */
const LARGEST_BETA = 1;

/** β of the policy that is being trained. @param {App} app */
export function betaSlider(app) {
  const slider = labelled(h("input", { type: "range", min: 0, max: LARGEST_BETA, step: 0.01, "aria-describedby": "beta-note", change: set, input: () => (value.textContent = slider.value) }), "aria-label", "anchor.beta");
  const value = h("output", { class: "big-number" });
  const note = h("p", { id: "beta-note", class: "quiet" });
  const box = h("div", { class: "row" }, slider, value, note);
  function set() {
    app.send({ command: "set", path: "ppo.kl_coef", value: slider.valueAsNumber });
  }
  whenChanged(
    app.store,
    box,
    (state) => [isPpo(state.lesson.stage) && !state.recorded ? state.lesson.stage : null, betaOf(state.runs[state.lesson.stage] ?? null)],
    (stage, beta) => {
      slider.disabled = stage === null;
      if (stage === null) words(note, "anchor.beta_none");
      else words(note, "anchor.beta_running", { run: runName(stage) });
      // What the visitor is dragging is not pulled out of the hand.
      if (document.activeElement === slider && stage !== null) return;
      slider.value = String(beta ?? 0);
      value.textContent = beta === null ? "–" : short(beta);
    },
  );
  return box;
}

/** The PPO runs, each to be laid over the others or left out. @param {App} app */
export function runList(app) {
  const box = h("div");
  const toggle = (/** @type {string} */ name, /** @type {boolean} */ shown) => {
    const { hidden } = app.store.state.look;
    app.store.hear({ event: "page_look", look: { hidden: shown ? hidden.filter((other) => other !== name) : [...hidden, name] } });
  };
  const row = (/** @type {{name: string, color: number}} */ { name, color }) => {
    const { runs, look } = app.store.state;
    const metrics = metricsAt(runs[name]);
    const checkbox = h("input", { type: "checkbox", "data-run": name, checked: !look.hidden.includes(name), change: () => toggle(name, checkbox.checked) });
    const numbers = ["objective/scores", "monitor/gold", "objective/kl"].map((key) => fixed(metrics?.[key]));
    return h(
      "tr",
      {},
      h("td", {}, h("label", { class: "tick" }, checkbox, h("span", { class: `swatch series-${color}`, "aria-hidden": "true" }), runName(name))),
      h("td", {}, short(betaOf(runs[name]))),
      h("td", {}, `${runs[name].steps.at(-1)?.step ?? 0} / ${runs[name].total}`),
      h("td", {}, numbers.join(", ")),
    );
  };
  whenChanged(
    app.store,
    box,
    (state) => [state.look.hidden, ...ppoRuns(state).flatMap((run) => [run.name, run.steps])],
    () => {
      const focused = /** @type {HTMLElement | null} */ (document.activeElement)?.dataset.run;
      const rows = ppoForChart(app.store.state.runs, []).map(row);
      const head = ["anchor.run", "bar.beta", "anchor.steps", "anchor.final"].map((key) => h("th", { scope: "col" }, t(key)));
      const table = h("div", { class: "scroll" }, h("table", { class: "runs" }, h("thead", {}, h("tr", {}, ...head)), h("tbody", {}, ...rows)));
      box.replaceChildren(rows.length > 0 ? table : h("p", { class: "quiet" }, t("anchor.norun")));
      for (const input of box.querySelectorAll("input")) if (input.dataset.run === focused) input.focus();
    },
    true,
  );
  return box;
}

/** A form that forks a run. @param {App} app */
export function forks(app) {
  const from = h("select", { change: () => limit() });
  const step = h("input", { type: "number", min: 0, max: 0, step: 1, value: 0, required: true });
  const beta = h("input", { type: "number", min: 0, step: "any", value: 0.1, required: true });
  const fork = (/** @type {number} */ at, /** @type {number | null} */ seed) =>
    app.send({ command: "fork", run: from.value, step: at, kl_coef: beta.valueAsNumber, seed });
  const submit = (/** @type {SubmitEvent} */ event) => {
    event.preventDefault();
    fork(step.valueAsNumber, null);
  };
  const seeds = button("anchor.seeds", () => {
    if (!beta.reportValidity()) return;
    const { seed } = app.settings.plan(app.store.state.ready.plans);
    for (const other of [seed + 1, seed + 2]) fork(0, other);
  });
  const go = words(h("button", { type: "submit", class: "primary" }), "anchor.fork_go");
  const form = h("form", { class: "row", submit }, field("anchor.fork_from", from), field("anchor.fork_step", step), field("anchor.fork_beta", beta), go, seeds);
  const limit = () => {
    step.max = String(Math.max(0, (app.store.state.runs[from.value]?.total ?? 1) - 1));
  };
  whenChanged(
    app.store,
    form,
    (state) => [ppoRuns(state).length, state.recorded],
    (count, recorded) => {
      setOptions(from, ppoRuns(app.store.state).map(({ name }) => [name, runName(name)]));
      for (const control of [from, step, beta, go, seeds]) control.disabled = count === 0 || recorded;
      limit();
    },
  );
  return h("div", {}, words(h("h4"), "anchor.fork"), form, words(h("p", { class: "quiet" }), "anchor.seeds_hint"));
}
