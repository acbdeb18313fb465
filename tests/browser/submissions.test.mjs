// What a training step asks of the browser: models of the benchmarks, every call that costs more than its work counted on its way.

import assert from "node:assert/strict";
import test from "node:test";

import { openBench } from "./support/bench.mjs";

/**
 * Each crosses to the browser's GPU process and wakes it. 132 launches are two, of 128 at most (evenkeel-kernels/src/pace.rs), or three where what is
 * measured is not in step with what cubecl submits by itself, and burn makes one of the copies that the numbers are read from.
 */
const MOST_SUBMISSIONS = 4;
const SFT = "prepare sft S";
const STEPS = 5;
/** On a device that takes so long over each launch, ten of them are what a submission may take. */
const SLOW_MS = 5;
const LEAST_OF_A_SLOW_ONE = 132 / 12;

/** What each of the first steps of what is begun by `command` asks for, on a device that takes so long over each launch, as far as it says. */
async function count(t, command, steps, ms) {
  const { browser, page } = await openBench();
  t.after(() => browser.close());
  const counts = await page.evaluate(async ([command, steps, ms]) => {
    const { counted, contender } = globalThis;
    let [done, seen] = [Promise.resolve(), 0];
    GPUQueue.prototype.onSubmittedWorkDone = () => {
      const launches = counted.dispatches - seen;
      seen = counted.dispatches;
      if (ms) done = done.then(() => new Promise((resolve) => setTimeout(resolve, launches * ms)));
      return done;
    };
    await contender.answer(command);
    const counts = [];
    for (let step = 1; step <= steps; step += 1) {
      const before = { ...counted };
      const answer = JSON.parse(await contender.answer("step"));
      if (answer.error) throw new Error(answer.error);
      counts.push(Object.fromEntries(Object.entries(counted).map(([name, count]) => [name, count - before[name]])));
    }
    return counts;
  }, [command, steps, ms]);
  for (const [i, count] of counts.entries()) t.diagnostic(`step ${i + 1}: ${Object.entries(count).map(([name, n]) => `${n} ${name}`).join(", ")}`);
  return counts;
}

test("a step of SFT on a fast device is a few submissions, and after the second step nothing new is made", async (t) => {
  for (const [i, { submissions, buffers, pipelines, ahead }] of (await count(t, SFT, STEPS, 0)).entries()) {
    assert.equal(pipelines, 0, `step ${i + 1} waits for pipelines`);
    assert.equal(ahead > 0, i === 0, `step ${i + 1} compiles ${ahead} pipelines ahead`);
    // The first step compiles, the second is measured.
    if (i <= 1) continue;
    assert.ok(submissions <= MOST_SUBMISSIONS, `step ${i + 1} has ${submissions} submissions`);
    assert.equal(buffers, 0, `step ${i + 1} creates buffers`);
  }
});

test("the same step on a slow device is many submissions", async (t) => {
  for (const [i, { submissions }] of (await count(t, SFT, STEPS, SLOW_MS)).entries()) {
    if (i > 1) assert.ok(submissions >= LEAST_OF_A_SLOW_ONE, `step ${i + 1} has ${submissions} submissions`);
  }
});

test("PPO's first iteration waits for no pipeline either: rollout, scores, advantages and update are compiled ahead", async (t) => {
  const [{ pipelines, ahead }, second] = await count(t, "begin ppo", 2, 0);
  assert.equal(pipelines, 0);
  assert.ok(ahead > 30, `${ahead} pipelines are compiled ahead`);
  assert.equal(second.pipelines + second.ahead, 0);
});
