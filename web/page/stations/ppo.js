// @ts-check
// Station 4: PPO, its loop, and any kept iteration token by token.

import { words } from "../i18n.js";
import { answersOf, button, chart, field, grid, live, setOptions, whenChanged, widePanel } from "../kit.js";
import { runName } from "../names.js";
import { at, betaOf, forChart, lookedAt, metricsAt, ppoRuns } from "../selectors.js";
import { h } from "../views/dom.js";
import { createFormula } from "../views/formula.js";
import { createHeatmap } from "../views/heatmap.js";
import { createLoop } from "../views/loop.js";

/** @import { App } from "../kit.js" */
/** @import { State } from "../state.js" */

/** @param {HTMLElement} root @param {App} app */
export function buildPpo(root, app) {
  const run = (/** @type {State} */ state) => [lookedAt(state)];
  const moment = (/** @type {State} */ state) => [lookedAt(state), state.look.step];
  const formula = (/** @type {string} */ name) => h("div", { class: "panel" }, live(app, createFormula, { name }, moment, metricsAt));
  const loop = live(app, createLoop, {}, run, (ppo) => ({
    phase: ppo?.phase?.phase ?? null,
    step: ppo?.phase?.step ?? ppo?.steps.at(-1)?.step ?? 0,
    metrics: metricsAt(ppo),
    kl_coef: betaOf(ppo) ?? 0,
  }));
  const tokens = live(
    app,
    createHeatmap,
    {},
    (state) => [at(lookedAt(state)?.episodes ?? [], state.look.step)],
    (iteration) => iteration,
  );
  const curveOf = (/** @type {string} */ title, /** @type {[string, string][]} */ series) =>
    chart(app, title, series, "ppo", run, (ppo) => forChart(ppo));
  root.append(
    grid(
      widePanel("ppo.loop", loop),
      formula("ppo_reward"),
      formula("gae"),
      formula("ppo_clip"),
      curveOf("ppo.reward", [["objective/scores", "series.reward"], ["monitor/gold", "series.gold"]]),
      curveOf("ppo.kl", [["objective/kl", "ppo.kl"]]),
      curveOf("ppo.entropy", [["objective/entropy", "ppo.entropy"]]),
      curveOf("ppo.clip", [["policy/clipfrac_avg", "ppo.clip"]]),
      curveOf("ppo.value", [["loss/value_avg", "ppo.value"]]),
      curveOf("ppo.length", [["completions/mean_length", "ppo.length"]]),
      widePanel("ppo.tokens", scrubber(app), tokens),
      widePanel("ppo.answers", answersOf(app, lookedAt)),
    ),
  );
}

/** Which run and which of its iterations is looked at. @param {App} app */
function scrubber(app) {
  const look = (/** @type {Partial<State["look"]>} */ change) => app.store.hear({ event: "page_look", look: change });
  const run = h("select", { change: () => look({ run: run.value, step: null }) });
  const slider = h("input", { type: "range", min: 0, max: 0, step: 1, input: () => look({ step: kept()[slider.valueAsNumber] ?? null }) });
  const where = h("output");
  const latest = button("ppo.latest", () => look({ step: null }));
  const kept = () => lookedAt(app.store.state)?.episodes.map(({ step }) => step) ?? [];
  const box = h("div", { class: "row" }, field("ppo.run", run), field("ppo.scrub", slider, where), latest);
  whenChanged(
    app.store,
    box,
    (state) => [lookedAt(state)?.name, lookedAt(state)?.episodes, state.look.step, ppoRuns(state).length],
    (name, _, step) => {
      const steps = kept();
      setOptions(run, ppoRuns(app.store.state).map((each) => [each.name, runName(each.name)]));
      run.value = name ?? "";
      const index = step === null ? steps.length - 1 : steps.findLastIndex((each) => each <= step);
      slider.max = String(Math.max(0, steps.length - 1));
      slider.valueAsNumber = Math.max(0, index);
      slider.disabled = steps.length < 2;
      run.disabled = steps.length === 0;
      latest.disabled = step === null;
      words(where, "ppo.scrub_value", { step: steps[index] ?? 0, last: steps.at(-1) ?? 0 });
      slider.setAttribute("aria-valuetext", where.textContent ?? "");
    },
  );
  return box;
}
