// @ts-check
// Station 1: what a good assistant is, what an untrained model says, and the road of runs ahead.

import { t, words } from "../i18n.js";
import { grid, live, whenChanged, widePanel } from "../kit.js";
import { runName } from "../names.js";
import { h } from "../views/dom.js";
import { createAnswers } from "../views/answers.js";

/** @import { App } from "../kit.js" */

/** The lesson's runs in order (crates/evenkeel-core/src/world/lesson/mod.rs, STAGES). */
const ROAD = ["sft", "preferences", "reward", "ppo", "ppo β=0", "dpo", "compare"];

/** @param {HTMLElement} root @param {App} app */
export function buildWhy(root, app) {
  const aims = ["helpful", "harmless", "honest"].map((aim) =>
    h("div", { class: `panel aim ${aim}` }, words(h("h3"), `why.${aim}`), words(h("p"), `why.${aim}_text`)),
  );
  const answers = live(
    app,
    createAnswers,
    {},
    (state) => [state.runs.sft?.answers[0]],
    (first) => first && { before: null, now: first.rows, step: first.step },
  );
  root.append(
    h("div", { class: "thirds" }, ...aims),
    grid(widePanel("why.road", words(h("p", { class: "quiet" }), "why.road_text"), road(app)), widePanel("why.answers", answers)),
  );
}

/** @param {App} app */
function road(app) {
  const list = h("ol", { class: "road" });
  const stops = ROAD.map((name) => {
    const status = h("span", { class: "status" });
    const label = h("span");
    const go = h("button", { type: "button", click: () => app.send({ command: "go", stage: name }) }, label, status);
    list.append(h("li", {}, go));
    return { name, go, label, status };
  });
  whenChanged(
    app.store,
    list,
    (state) => [state.lesson, state.opened && !state.recorded, ...ROAD.map((name) => state.runs[name]?.status)],
    (lesson, opened) => {
      for (const { name, go, label, status } of stops) {
        const now = lesson.stage === name ? "running" : (app.store.state.runs[name]?.status ?? "waiting");
        label.textContent = runName(name);
        status.textContent = t(`status.${now}`);
        go.dataset.status = now;
        go.disabled = !opened;
      }
    },
  );
  return list;
}
