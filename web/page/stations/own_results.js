// @ts-check
// A run on the visitor's model as curves, and what can be kept of any run.

import { download, eventLines, fileName } from "../export.js";
import { words } from "../i18n.js";
import { button, chart, field, setOptions, whenChanged } from "../kit.js";
import { runName } from "../names.js";
import { h } from "../views/dom.js";
import { zip } from "../zip.js";

/** @import { App } from "../kit.js" */
/** @import { Run, State } from "../state.js" */

const OF_THE_LESSON = /^(sft|preferences|reward|ppo|ppo .*|dpo|compare)$/;
/** One chart each; those of which a run has no metric stay empty and are not shown. */
const CURVES = /** @type {const} */ ([
  ["sft.loss", "loss"],
  ["sft.accuracy", "mean_token_accuracy"],
  ["reward.accuracy", "accuracy"],
  ["dpo.margin", "rewards/margins"],
  ["ppo.reward", "objective/scores"],
  ["ppo.kl", "objective/kl"],
]);

/** The latest run on the visitor's own model. @param {State} state @returns {Run | undefined} */
export function ownRun(state) {
  return Object.values(state.runs).findLast(({ name }) => !OF_THE_LESSON.test(name));
}

/** @param {App} app */
export function ownCharts(app) {
  const heading = h("h3", { class: "wide" });
  const charts = CURVES.map(([title, metric]) => {
    const has = (/** @type {State} */ state) => ownRun(state)?.steps.some(({ metrics }) => metric in metrics) ?? false;
    const box = chart(app, title, [[metric, title]], "own", (state) => [ownRun(state)?.steps], (steps) => (steps ? [{ name: "", color: 1, steps }] : []));
    whenChanged(app.store, box, (state) => [has(state)], (shown) => (box.hidden = !shown), true);
    return box;
  });
  whenChanged(app.store, heading, (state) => [ownRun(state)?.name], (name) => (name ? words(heading, "own.charts", { run: name }) : words(heading, "own.norun")));
  return [heading, ...charts];
}

/** @param {App} app */
export function keepBox({ store, send }) {
  const model = h("select");
  const saveModel = button("own.save_zip", () => send({ command: "save", model: model.value }));
  const run = h("select");
  const saveRun = button("own.save_events", () => download(`${fileName(run.value)}.jsonl`, [eventLines(store.state.runs[run.value])], "application/jsonl"));
  const saveFolder = button("own.save_folder", () => send({ command: "save_run", run: run.value }));
  const finished = () => (saveFolder.disabled = store.state.recorded || !store.state.lesson.models.includes(run.value));
  run.addEventListener("change", finished);
  const none = words(h("p", { class: "quiet" }), "own.save_none");
  const box = h("div", {}, none, h("div", { class: "row" }, field("own.save_model", model), saveModel, field("own.save_run", run), saveFolder, saveRun, button("own.print", () => print())));
  whenChanged(store, box, ({ lesson, runs, recorded }) => [recorded ? "" : lesson.models.join("\n"), Object.keys(runs).join("\n")], (models, runs) => {
    const list = (/** @type {string} */ names) => names.split("\n").filter((name) => name !== "");
    setOptions(model, list(models).map((name) => [name, runName(name)]));
    setOptions(run, list(runs).map((name) => [name, runName(name)]));
    for (const [select, save] of /** @type {const} */ ([[model, saveModel], [run, saveRun]])) select.disabled = save.disabled = select.options.length === 0;
    finished();
    none.hidden = model.options.length + run.options.length > 0;
  });
  whenChanged(store, model, ({ folder }) => [folder], (/** @type {State["folder"]} */ folder) => {
    if (folder) download(`${fileName(folder.name)}.zip`, /** @type {BlobPart[]} */ (zip(folder.files)), "application/zip");
  });
  return box;
}
