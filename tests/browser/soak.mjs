// Long runs in headless Chromium, a row of JSON each as `evenkeel bench endurance --json` prints them: node tests/browser/soak.mjs STEPS

import { openBench } from "./support/bench.mjs";

/** PPO iterations are a tenth of SFT's steps. */
const PPO_SHARE = 10;
const steps = Number(process.argv[2]);

const { browser, page } = await openBench();
for (const run of [`sft ${steps}`, `ppo ${Math.ceil(steps / PPO_SHARE)}`]) {
  const row = await page.evaluate((/** @type {string} */ command) => globalThis.contender.answer(command), `endurance ${run}`);
  const { error } = JSON.parse(row);
  if (error) throw new Error(error);
  console.log(row);
}
await browser.close();
