// @ts-check
// The visitor's own model and data: choose, set, estimate, train, keep.

import { t, words } from "../i18n.js";
import { button, field, grid, panel, setOptions, whenChanged, widePanel } from "../kit.js";
import { runName } from "../names.js";
import { eventsOf } from "../export.js";
import { createRecipeForm } from "../recipe_form.js";
import { h } from "../views/dom.js";
import { duration, mebibytes } from "../views/format.js";
import { dataBox, modelBox, runChooser } from "./own_files.js";
import { keepBox, ownCharts, ownRun } from "./own_results.js";

/** @import { App } from "../kit.js" */
/** @import { NamedBytes } from "../files.js" */
/** @import { State } from "../state.js" */

/** @param {HTMLElement} root @param {App} app */
export function buildOwn(root, app) {
  /** @type {{model: NamedBytes[], data: NamedBytes | null, recipe: Record<string, any>}} */
  const chosen = { model: [], data: null, recipe: {} };
  const start = startBox(app, chosen);
  const form = createRecipeForm((recipe) => {
    chosen.recipe = recipe;
    start.changed();
  });
  const model = modelBox((files) => {
    chosen.model = files;
    start.changed();
  }, (lines) => eventsOf(lines).forEach(app.store.hear));
  const data = dataBox((file) => {
    chosen.data = file;
    start.changed();
  });
  root.append(
    h("div", { class: "grid halves" }, panel("own.model", model), panel("own.data", data)),
    grid(
      widePanel("own.recipe", stageChoice(app, form.show), form.root),
      h("div", { class: "panel wide" }, start.root),
      ...ownCharts(app),
      widePanel("own.save", keepBox(app)),
    ),
  );
}

/** @param {App} app @param {(defaults: Record<string, any>) => void} show */
function stageChoice({ store }, show) {
  const stage = h("select", { change: () => show(store.state.ready.recipes[stage.value]) });
  whenChanged(store, stage, ({ ready }) => [ready !== null], (known) => {
    stage.disabled = !known;
    if (!known || stage.options.length > 0) return;
    const { recipes } = store.state.ready;
    setOptions(stage, Object.keys(recipes).map((name) => [name, runName(name)]));
    stage.value = "sft" in recipes ? "sft" : stage.options[0].value;
    show(recipes[stage.value]);
  });
  return field("own.stage", stage);
}

/** @param {App} app @param {{model: NamedBytes[], data: NamedBytes | null, recipe: Record<string, any>}} chosen */
function startBox({ store, send }, chosen) {
  const estimate = button("own.estimate", () => send({ command: "estimate", recipe: chosen.recipe, model: chosen.model, data: chosen.data }));
  const train = button("own.train", () => send({ command: "train", resume: false }), { class: "primary" });
  const stop = button("own.stop", () => send({ command: "stop" }), { hidden: true });
  const adopt = runChooser((run) => {
    if (!run) words(note, "own.not_run");
    else if (chosen.model.length === 0 || !chosen.data) words(note, "own.adopt_needs");
    else send({ command: "adopt", model: chosen.model, data: chosen.data, run });
    note.hidden = false;
  });
  const note = h("p", { role: "status" });
  const problems = h("ul");
  const text = h("pre", { tabindex: 0 });
  const root = h("div", {}, h("div", { class: "row" }, estimate, train, stop, adopt), note, problems, text);
  /** An estimate of something else than what is chosen now. @type {State["estimate"]} */
  let outdated = null;
  const draw = () => {
    const { ready, recorded, estimate: known } = store.state;
    const complete = ready !== null && !recorded && chosen.model.length > 0 && chosen.data !== null;
    const now = known === outdated ? null : known;
    estimate.disabled = !complete;
    train.disabled = !complete || now === null || now.problems.length > 0;
    text.hidden = now === null;
    text.textContent = now?.text ?? "";
    problems.replaceChildren(...(now?.problems ?? []).map((problem) => h("li", {}, problem)));
    note.hidden = complete && now === null;
    if (!complete) words(note, "own.need");
    else if (now && now.problems.length > 0) words(note, "own.problems");
    else if (now) words(note, "own.fits", { size: mebibytes(now.bytes), steps: now.steps, time: now.seconds === null ? "?" : duration(t, now.seconds) });
  };
  whenChanged(store, root, ({ ready, recorded, estimate: known }) => [ready, recorded, known], draw);
  whenChanged(store, stop, (state) => [!state.recorded && ownRun(state)?.status === "running"], (running) => (stop.hidden = !running));
  return {
    root,
    changed() {
      outdated = store.state.estimate;
      draw();
    },
  };
}
