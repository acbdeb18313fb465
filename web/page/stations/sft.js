// @ts-check
// Station 2: supervised fine-tuning.

import { answersOf, chart, grid, live, widePanel } from "../kit.js";
import { forChart, metricsAt } from "../selectors.js";
import { h } from "../views/dom.js";
import { createFormula } from "../views/formula.js";
import { createRows } from "../views/rows.js";

/** @import { App } from "../kit.js" */
/** @import { State } from "../state.js" */

/** @param {HTMLElement} root @param {App} app */
export function buildSft(root, app) {
  const run = (/** @type {State} */ state) => [state.runs.sft];
  const formula = live(app, createFormula, { name: "sft" }, run, metricsAt);
  const rows = live(app, createRows, {}, (state) => [state.runs.sft?.rows], (list) => list ?? null);
  root.append(
    grid(
      h("div", { class: "panel wide" }, formula),
      chart(app, "sft.loss", [["loss", "series.loss"]], "sft", run, (sft) => forChart(sft)),
      chart(app, "sft.accuracy", [["mean_token_accuracy", "sft.accuracy"]], "sft", run, (sft) => forChart(sft)),
      chart(app, "sft.entropy", [["entropy", "sft.entropy"]], "sft", run, (sft) => forChart(sft)),
      widePanel("sft.rows", rows),
      widePanel("sft.answers", answersOf(app, (state) => state.runs.sft)),
    ),
  );
}
