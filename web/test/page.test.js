// @ts-check
// The page's smaller pure parts: recordings, exported runs, recipe forms.
import assert from "node:assert/strict";
import test from "node:test";

import { eventLines, fileName } from "../page/export.js";
import { play } from "../page/recording.js";
import { settingsOf, withSetting } from "../page/recipe_form.js";
import { initial, reduce } from "../page/state.js";

test("a recording plays at its own speed, pauses, and plays faster", () => {
  const events = /** @type {[number, any][]} */ (Array.from({ length: 10 }, (_, i) => [i, { event: "step", step: i }]));
  let time = 0;
  /** @type {{at: number, run: () => void}[]} */
  const timers = [];
  const heard = /** @type {any[]} */ ([]);
  const pass = (/** @type {number} */ ms) => {
    for (const end = time + ms; ; ) {
      const next = timers.filter(({ at }) => at <= end).sort((a, b) => a.at - b.at)[0];
      if (!next) return void (time = end);
      timers.splice(timers.indexOf(next), 1);
      time = Math.max(time, next.at);
      next.run();
    }
  };
  const player = play({ device: "d", date: "d", command: "c", events }, (event) => heard.push(event.step), { now: () => time, wait: (run, ms) => timers.push({ at: time + ms, run }) });
  player.resume();
  pass(2000);
  assert.deepEqual(heard, [0, 1, 2]);
  player.pause();
  pass(5000);
  assert.equal(heard.length, 3);
  player.setSpeed(10);
  player.resume();
  pass(1000);
  assert.equal(heard.length, 10);
  assert.equal(player.playing, false);
});

test("a run is exported as the events that it was made of", () => {
  const events = [
    { event: "started", stage: "reward", total_steps: 2, parameters: 5, device: "CPU" },
    { event: "step", step: 1, metrics: { loss: 1 } },
    { event: "step", step: 2, metrics: { loss: 0.5 } },
    { event: "eval", step: 2, metrics: { eval_loss: 0.6 } },
    { event: "finished", step: 2 },
  ];
  const { runs } = events.reduce(reduce, initial());
  assert.deepEqual(eventLines(runs.reward).trim().split("\n").map((line) => JSON.parse(line)), events);
});

test("names of files", () => {
  assert.equal(fileName("ppo β=0.1 @10"), "ppo-beta-0.1-@10");
  assert.equal(fileName("../<x>"), "..x");
});

test("a recipe's settings, without paths, and one of them changed", () => {
  const recipe = { stage: "sft", seed: 1, model: { path: "" }, data: { train: "", eval: "", shuffle: true }, sft: { packing: false } };
  assert.deepEqual(settingsOf(recipe), [["", "seed", 1], ["data", "shuffle", true], ["sft", "packing", false]]);
  assert.deepEqual(withSetting(recipe, "sft", "packing", true).sft, { packing: true });
  assert.equal(withSetting(recipe, "", "seed", 2).seed, 2);
  assert.deepEqual(recipe.sft, { packing: false });
});
