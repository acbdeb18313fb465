// The same lesson in the browser and by the native program, on the CPU and on Vulkan: the losses of every step of every run.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "node:test";

import { LESSON } from "./support/browser.mjs";
import { stepsOf } from "./support/heard.mjs";
import { undisturbed } from "./support/undisturbed.mjs";

/** Absolute below 1, relative above: two devices add in another order, and every step builds on the one before. */
const TOLERANCE = 1e-3;
const STEPS = 50;
const PPO = ["objective/kl", "objective/scores", "loss/policy_avg", "loss/value_avg"];
const METRICS = { sft: ["loss"], reward: ["loss", "accuracy"], ppo: PPO, "ppo β=0": PPO, dpo: ["loss", "rewards/margins"] };

for (const device of ["gpu", "cpu"]) {
  test(`browser and native program on its ${device} agree in every step of every run`, async (t) => {
    const inBrowser = stepsOf((await undisturbed()).map(([, event]) => event));
    const native = stepsOf(playNatively(device));
    for (const [run, metrics] of Object.entries(METRICS)) {
      assert.deepEqual(Object.keys(inBrowser[run] ?? {}), Object.keys(native[run] ?? {}), `steps of ${run}`);
      assert.ok(Object.keys(native[run]).length >= STEPS, `${run} has ${STEPS} steps`);
      const worst = Math.max(...metrics.map((metric) => compare(run, metric, inBrowser[run], native[run])));
      t.diagnostic(`${run}: ${Object.keys(native[run]).length} steps, largest difference ${worst.toExponential(1)}`);
    }
  });
}

/** → the largest difference, in the unit of the tolerance's. @param {string} run @param {string} metric @param {Record<number, any>} got @param {Record<number, any>} wanted */
function compare(run, metric, got, wanted) {
  const differences = Object.entries(wanted).map(([step, metrics]) => {
    const difference = Math.abs(got[step][metric] - metrics[metric]) / Math.max(1, Math.abs(metrics[metric]));
    assert.ok(difference <= TOLERANCE, `${run}, step ${step}: ${metric} is ${got[step][metric]} in the browser and ${metrics[metric]} natively`);
    return difference;
  });
  return Math.max(...differences);
}

/** The native program's events. @param {"gpu" | "cpu"} device */
function playNatively(device) {
  const program = process.env.EVENKEEL_BIN;
  assert(program, "EVENKEEL_BIN must name the native program (target/release/evenkeel)");
  const folder = mkdtempSync(join(tmpdir(), "evenkeel-parity-"));
  try {
    const args = ["demo", "--preset", LESSON.preset, "--seed", String(LESSON.seed), "--device", device, "--out", join(folder, "run")];
    execFileSync(program, args, { stdio: ["ignore", "ignore", "inherit"] });
    const lines = readFileSync(join(folder, "run", "events.jsonl"), "utf8").trim().split("\n");
    return lines.map((line) => JSON.parse(line));
  } finally {
    rmSync(folder, { recursive: true });
  }
}
