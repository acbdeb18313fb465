// @ts-check
import assert from "node:assert/strict";
import test from "node:test";

import { at, betaOf, forChart, lookedAt, ppoForChart } from "../page/selectors.js";
import { curve, initial, reduce } from "../page/state.js";

/** @param {any[]} events @param {any} [from] */
const after = (events, from = initial()) => events.reduce(reduce, from);
/** @param {string} stage */
const started = (stage) => ({ event: "started", stage, total_steps: 20, parameters: 1, device: "CPU" });
/** @param {number} step @param {Record<string, number>} [metrics] */
const step = (step, metrics = { loss: 1 / step }) => ({ event: "step", step, metrics });
/** @param {number} step @param {number} [kl_coef] */
const episodes = (step, kl_coef = 0.5) => ({ event: "episodes", step, kl_coef, cliprange: 0.2, episodes: [] });

test("events belong to the run that began last; a cost names its run", () => {
  const cost = { event: "cost", stage: "sft", seconds: 1, steps: 2, tokens: 3 };
  const state = after([started("sft"), step(1), step(2), { event: "finished", step: 2 }, started("reward"), step(1), cost]);
  assert.deepEqual(state.runs.sft.steps.map((point) => point.step), [1, 2]);
  assert.equal(state.runs.sft.status, "finished");
  assert.deepEqual(state.runs.sft.cost, cost);
  assert.equal(state.runs.reward.steps.length, 1);
});

test("a run that starts again drops its curves and keeps its place", () => {
  const state = after([started("sft"), step(1), started("ppo"), started("sft"), step(1)]);
  assert.deepEqual(Object.keys(state.runs), ["sft", "ppo"]);
  assert.equal(state.runs.sft.steps.length, 1);
});

test("the state that was is not touched", () => {
  const before = after([started("sft"), step(1)]);
  const copy = structuredClone(before);
  after([step(2), { event: "answers", step: 2, rows: [] }, { event: "failed", step: 2, message: "no" }], before);
  assert.deepEqual(before, copy);
});

test("the last 40 iterations are kept, and one of the same step replaces another", () => {
  const many = Array.from({ length: 60 }, (_, i) => episodes(i + 1));
  const state = after([started("ppo"), ...many, episodes(60, 0.1)]);
  assert.equal(state.runs.ppo.episodes.length, 40);
  assert.equal(state.runs.ppo.episodes[0].step, 21);
  assert.equal(betaOf(state.runs.ppo), 0.1);
  assert.equal(at(state.runs.ppo.episodes, 30)?.step, 30);
});

test("the first answers stay, to be compared with", () => {
  const answers = Array.from({ length: 60 }, (_, i) => ({ event: "answers", step: i, rows: [] }));
  const kept = after([started("sft"), ...answers]).runs.sft.answers;
  assert.equal(kept[0].step, 0);
  assert.equal(kept.at(-1)?.step, 59);
});

test("held-out metrics join the step after which they were taken", () => {
  const state = after([started("reward"), { event: "eval", step: 0, metrics: { eval_loss: 0.7 } }, step(1), step(2), { event: "eval", step: 2, metrics: { eval_loss: 0.5 } }]);
  assert.deepEqual(curve(state.runs.reward).map((point) => [point.step, point.metrics.loss, point.metrics.eval_loss]), [[0, undefined, 0.7], [1, 1, undefined], [2, 0.5, 0.5]]);
  assert.deepEqual(forChart(undefined), []);
});

test("a PPO run keeps its colour when another one is left out, and the latest is looked at unless one is chosen", () => {
  const state = after([started("ppo"), started("ppo β=0"), started("dpo"), started("ppo β=0.1 @10")]);
  assert.deepEqual(ppoForChart(state.runs, ["ppo"]).map(({ name, color }) => [name, color]), [["ppo β=0", 2], ["ppo β=0.1 @10", 3]]);
  assert.equal(lookedAt(state)?.name, "ppo β=0.1 @10");
  assert.equal(lookedAt(reduce(state, { event: "page_look", look: { run: "ppo" } }))?.name, "ppo");
});

test("a failure before any run is one of opening, and the lesson is not open", () => {
  const failed = { event: "failed", step: 0, message: "no adapter" };
  const opening = after([{ event: "page_open", recorded: false }, failed]);
  assert.equal(opening.problem?.kind, "open");
  assert.equal(opening.opened, false);
  const running = after([{ event: "page_open", recorded: false }, started("sft"), failed]);
  assert.equal(running.problem?.kind, "failed");
  assert.equal(running.runs.sft.status, "failed");
});

test("opening forgets the lesson, not the worker", () => {
  const ready = { event: "ready", version: "1", plans: {}, recipes: {} };
  const state = after([ready, started("sft"), { event: "page_open", recorded: true }]);
  assert.deepEqual([state.ready, state.runs, state.recorded], [ready, {}, true]);
});

test("an unknown event is an error", () => {
  assert.throws(() => after([started("sft"), { event: "nonsense" }]), /unknown event: nonsense/);
});
