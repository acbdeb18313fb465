// What a training step asks of the browser: model S of the benchmarks, every call that costs more than its work counted on its way.

import assert from "node:assert/strict";
import test from "node:test";

import { openBench } from "./support/bench.mjs";

/**
 * Each crosses to the browser's GPU process and wakes it. 141 launches are two, of 128 at most (evenkeel-kernels/src/device.rs), and burn
 * makes one of the copies that the numbers are read from.
 */
const MOST_SUBMISSIONS = 3;
const STEPS = 6;

test("a step of SFT is a few submissions, and after the second step nothing new is made", async (t) => {
  const { browser, page } = await openBench();
  t.after(() => browser.close());
  const counts = await page.evaluate(async (steps) => {
    const { counted, contender } = globalThis;
    await contender.answer("prepare sft S");
    const counts = [];
    for (let step = 1; step <= steps; step += 1) {
      const before = { ...counted };
      const answer = JSON.parse(await contender.answer("step"));
      if (answer.error) throw new Error(answer.error);
      counts.push(Object.fromEntries(Object.entries(counted).map(([name, count]) => [name, count - before[name]])));
    }
    return counts;
  }, STEPS);
  for (const [i, count] of counts.entries()) t.diagnostic(`step ${i + 1}: ${Object.entries(count).map(([name, n]) => `${n} ${name}`).join(", ")}`);
  for (const [i, { submissions, buffers, pipelines }] of counts.entries()) {
    if (i === 0) continue;
    assert.ok(submissions <= MOST_SUBMISSIONS, `step ${i + 1} has ${submissions} submissions`);
    if (i === 1) continue;
    assert.equal(pipelines, 0, `step ${i + 1} creates pipelines`);
    assert.equal(buffers, 0, `step ${i + 1} creates buffers`);
  }
});
