// @ts-check
// Station 6: DPO, then all models side by side.

import { answersOf, chart, grid, live, widePanel } from "../kit.js";
import { forChart, metricsAt } from "../selectors.js";
import { h } from "../views/dom.js";
import { createCompare } from "../views/compare.js";
import { createFormula } from "../views/formula.js";
import { createPairs } from "../views/pairs.js";

/** @import { App } from "../kit.js" */
/** @import { State } from "../state.js" */

/** @param {HTMLElement} root @param {App} app */
export function buildDpo(root, app) {
  const run = (/** @type {State} */ state) => [state.runs.dpo];
  const curveOf = (/** @type {string} */ title, /** @type {[string, string][]} */ series) =>
    chart(app, title, series, "dpo", run, (dpo) => forChart(dpo));
  const compare = live(
    app,
    createCompare,
    {},
    (state) => [state.comparison, ...Object.values(state.runs).map(({ cost }) => cost)],
    (comparison, ...costs) => ({ rows: comparison?.rows ?? [], samples: comparison?.samples ?? [], costs: costs.filter(Boolean) }),
  );
  root.append(
    grid(
      h("div", { class: "panel double" }, live(app, createFormula, { name: "dpo" }, run, metricsAt)),
      curveOf("dpo.loss", [["loss", "series.loss"]]),
      curveOf("dpo.rewards", [["rewards/chosen", "series.chosen"], ["rewards/rejected", "series.rejected"]]),
      curveOf("dpo.margin", [["rewards/margins", "dpo.margin"]]),
      curveOf("dpo.logps", [["logps/chosen", "series.chosen"], ["logps/rejected", "series.rejected"]]),
      widePanel("dpo.pairs", live(app, createPairs, {}, (state) => [state.runs.dpo?.pairs], (pairs) => pairs ?? null)),
      widePanel("dpo.answers", answersOf(app, (state) => state.runs.dpo)),
      widePanel("dpo.compare", compare),
    ),
  );
}
