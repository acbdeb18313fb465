// @ts-check
// Station 5: β on the running policy, forks and seeds, and the reward hack that they show.

import { chart, grid, live, named, panel, widePanel } from "../kit.js";
import { withNames } from "../names.js";
import { at, lookedAt, ppoForChart } from "../selectors.js";
import { createFooled } from "../views/fooled.js";
import { createTradeoff } from "../views/tradeoff.js";
import { betaSlider, forks, runList } from "./anchor_controls.js";

/** @import { App } from "../kit.js" */
/** @import { State } from "../state.js" */

/** @param {HTMLElement} root @param {App} app */
export function buildAnchor(root, app) {
  const runs = (/** @type {State} */ state) => [state.runs, state.look.hidden];
  const fooled = live(
    app,
    createFooled,
    {},
    (state) => [at(lookedAt(state)?.fooled ?? [], state.look.step)],
    (latest) => latest,
  );
  const trails = live(app, createTradeoff, {}, runs, (all, hidden) => withNames(ppoForChart(all, hidden)));
  const tradeoff = panel("anchor.tradeoff", trails);
  const curves = chart(app, "anchor.curves", [["objective/scores", "series.reward"], ["monitor/gold", "series.gold"]], "anchor", runs, ppoForChart, "peak");
  for (const picture of [tradeoff, curves]) picture.classList.add("double");
  root.append(
    grid(
      named("beta", widePanel("anchor.beta", betaSlider(app))),
      curves,
      chart(app, "ppo.kl", [["objective/kl", "ppo.kl"]], "anchor", runs, ppoForChart),
      tradeoff,
      chart(app, "anchor.thanks", [["monitor/thanks", "anchor.thanks"]], "anchor", runs, ppoForChart),
      widePanel("anchor.runs", runList(app), named("fork", forks(app))),
      widePanel("anchor.fooled", fooled),
    ),
  );
}
