// @ts-check
// Station 3: the reward model, and the visitor as labeller.

import { words } from "../i18n.js";
import { button, chart, grid, live, panel, tick, whenChanged, widePanel } from "../kit.js";
import { forChart, metricsAt } from "../selectors.js";
import { h } from "../views/dom.js";
import { percent, short } from "../views/format.js";
import { createFormula } from "../views/formula.js";
import { createHistogram } from "../views/histogram.js";
import { createLiking } from "../views/liking.js";
import { createRanker } from "../views/ranker.js";

/** @import { App } from "../kit.js" */
/** @import { State } from "../state.js" */

/** @param {HTMLElement} root @param {App} app */
export function buildReward(root, app) {
  const run = (/** @type {State} */ state) => [state.runs.reward];
  root.append(
    grid(
      h("div", { class: "panel" }, live(app, createFormula, { name: "bradley_terry" }, run, metricsAt)),
      chart(app, "reward.accuracy", [["accuracy", "series.train"], ["eval_accuracy", "series.held_out"]], "reward", run, (reward) => forChart(reward)),
      chart(app, "reward.loss", [["loss", "series.train"], ["eval_loss", "series.held_out"]], "reward", run, (reward) => forChart(reward)),
      labeller(app),
      chart(app, "reward.margin", [["margin", "series.train"], ["eval_margin", "series.held_out"]], "reward", run, (reward) => forChart(reward)),
      panel(
        "reward.histogram",
        live(app, createHistogram, {}, (state) => [state.runs.reward?.scores], (scores) => scores ?? null),
        verdict(app),
      ),
      panel("reward.liking", live(app, createLiking, {}, (state) => [state.runs.reward?.liking], (liking) => liking ?? null)),
    ),
  );
}

/** @param {App} app */
function labeller(app) {
  const ranker = live(
    app,
    createRanker,
    {
      onRank: (/** @type {number} */ index, /** @type {number[]} */ order) => app.send({ command: "rank", index, order }),
      onAsk: () => app.send({ command: "ask" }),
    },
    (state) => [state.ranking, state.ranked],
    (ranking, ranked) => ({ ranking, ranked }),
  );
  const mine = tick("reward.only_mine", (checked) => app.send({ command: "set", path: "lesson.only_mine", value: Number(checked) }));
  const count = h("p", { role: "status" });
  const again = button("reward.again", () => app.send({ command: "go", stage: "reward" }));
  const box = widePanel(
    "reward.ranker",
    ranker,
    h("div", { class: "row" }, count, mine, words(h("span", { class: "quiet" }), "reward.only_mine_hint"), again),
  );
  whenChanged(
    app.store,
    box,
    (state) => [state.ranked?.count ?? 0, state.lesson.models.includes("sft") && !state.recorded],
    (ranked, able) => {
      words(count, "reward.count", { count: ranked });
      again.disabled = !able;
      for (const input of mine.querySelectorAll("input")) input.disabled = ranked === 0;
    },
  );
  return box;
}

/** How good the reward model is, in words. @param {App} app */
function verdict(app) {
  const text = h("p", { class: "quiet" });
  whenChanged(
    app.store,
    text,
    (state) => [state.runs.reward?.evals.at(-1), state.runs.reward?.scores],
    (last, scores) => {
      text.hidden = !last;
      if (!last) return;
      const { eval_accuracy: accuracy, eval_calibration_error: error } = last.metrics;
      words(text, "reward.calibration", { held: scores?.chosen.length ?? "?", accuracy: percent(accuracy), error: short(error) });
    },
  );
  return text;
}
