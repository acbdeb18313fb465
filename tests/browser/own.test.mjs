// A real model and rows of the visitor's own: refused with a sentence where they cannot be trained, else trained, talked to and downloaded.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import test from "node:test";

import { open } from "./support/browser.mjs";
import { hear, reload, stepsOf } from "./support/heard.mjs";
import { SHORT, bringModel, estimate, rowsOf, set, trained } from "./support/own.mjs";
import { button, download, downloadModel, goTo, unpack } from "./support/visitor.mjs";

const RUN = "own sft";
const STEPS = 2;

test("the visitor's own model is trained on the visitor's own rows", async (t) => {
  const session = await open();
  const { page, browser } = session;
  t.after(() => browser.close());
  const rows = rowsOf(4);
  await bringModel(page);

  await set(page, { ...SHORT, max_steps: STEPS, per_device_train_batch_size: 2 ** 20 });
  const tooMuch = await estimate(page, rows);
  assert.match(tooMuch.problems[0], /^memory: .*; set training\.per_device_train_batch_size = \d+, .*steps = \d+/);

  await set(page, SHORT);
  const refused = await estimate(page, [rows[0], '{"prompt": 7}']);
  assert.match(refused.problems[0], /rows\.jsonl.*2/, "the place of a bad row is named");
  assert.ok(await button(page, "Train").isDisabled());

  const plan = await estimate(page, rows);
  assert.deepEqual(plan.problems, []);
  assert.equal(plan.steps, STEPS);
  await button(page, "Train").click();
  const losses = Object.values(stepsOf(await trained(page, RUN))[RUN]).map(({ loss }) => loss);
  assert.equal(losses.length, STEPS);
  assert.ok(losses.every((loss) => loss > 0 && loss < 12), `losses ${losses}`);

  await button(page, "Download the model (zip)").scrollIntoViewIfNeeded();
  await page.locator("#own").locator(`select:has(option[value="${RUN}"])`).first().selectOption(RUN);
  await downloadModel(page);

  await page.locator("#own").locator(`select:has(option[value="${RUN}"])`).last().selectOption(RUN);
  const folder = unpack(t, await download(page, "Download the run folder (zip)"));
  const evenkeel = (/** @type {string[]} */ ...args) => execFileSync(String(process.env.EVENKEEL_BIN), args, { encoding: "utf8", cwd: folder });
  evenkeel("report", ".");
  assert.match(readFileSync(join(folder, "report.html"), "utf8"), /<td>sft<\/td><td>finished<\/td><td class="number">2<\/td>/, "the command line's report of the page's run");
  assert.ok(evenkeel("generate", "--model", ".", "--prompt", "Once", "--max-new-tokens", "2", "--device", "cpu").length > 0);

  await reload(page);
  await hear(page, "the worker's first word", (events) => events.some(({ event }) => event === "ready"), 60);
  await goTo(page, "Your own");
  await page.locator("#own .drop input[type=file]").nth(1).setInputFiles(folder);
  await page.getByText(/^Model: .*model\.safetensors/).waitFor();
  await page.getByText("Your run: own sft").waitFor();
  await session.close();
});
