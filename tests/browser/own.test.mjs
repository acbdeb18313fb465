// A real model and rows of the visitor's own: refused with a sentence where they cannot be trained, else trained, talked to and downloaded.

import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import test from "node:test";
import { gzipSync } from "node:zlib";

import { open } from "./support/browser.mjs";
import { eventsOf, hear, stepsOf } from "./support/heard.mjs";
import { button, downloadModel, goTo } from "./support/visitor.mjs";

const SHARED = process.env.EVENKEEL_SHARED ?? "../shared";
const RUN = "own sft";
const ROWS = 4;
/** Short enough for WebGPU on the CPU. */
const SETTINGS = { max_steps: 2, per_device_train_batch_size: 1, max_length: 48 };

/** Whether the run's model is among those that can be talked to. @param {any[]} events */
const isTrained = (events) => events.findLast(({ event }) => event === "state")?.models.includes(RUN);

test("the visitor's own model is trained on the visitor's own rows", async (t) => {
  const session = await open();
  const { page, browser } = session;
  t.after(() => browser.close());
  const own = page.locator("#own");
  const choosers = own.locator(".drop input[type=file]");
  const [modelFiles, dataFile] = [choosers.first(), choosers.last()];
  const folder = join(SHARED, "models/stories260K");
  const rows = readFileSync(join(SHARED, "data/alpaca-eval-sft.jsonl"), "utf8").split("\n").slice(0, ROWS);
  const estimate = async (/** @type {string[]} */ lines) => {
    const before = (await eventsOf(page)).filter(({ event }) => event === "estimate").length;
    const packed = gzipSync(Buffer.from(lines.join("\n")));
    await dataFile.setInputFiles({ name: "rows.jsonl.gz", mimeType: "application/gzip", buffer: packed.subarray(0, -9) });
    await own.getByText("rows.jsonl.gz cannot be unpacked").waitFor();
    await dataFile.setInputFiles({ name: "rows.jsonl.gz", mimeType: "application/gzip", buffer: packed });
    await own.getByText("Data: rows.jsonl (").waitFor();
    await button(page, "Estimate memory and time").click();
    return hear(page, "an estimate", (events) => events.filter(({ event }) => event === "estimate")[before], 60);
  };

  await hear(page, "the worker's first word", (events) => events.some(({ event }) => event === "ready"), 60);
  await goTo(page, "Your own");
  await modelFiles.setInputFiles(readdirSync(folder).map((name) => join(folder, name)));
  for (const [name, value] of Object.entries(SETTINGS)) {
    const input = own.locator("label.setting", { has: page.locator("code", { hasText: new RegExp(`^${name}$`) }) }).locator("input");
    await input.fill(String(value));
    await input.press("Tab");
  }

  const refused = await estimate([rows[0], '{"prompt": 7}']);
  assert.match(refused.problems[0], /rows\.jsonl.*2/, "the place of a bad row is named");
  assert.ok(await button(page, "Train").isDisabled());

  const plan = await estimate(rows);
  assert.deepEqual(plan.problems, []);
  assert.equal(plan.steps, SETTINGS.max_steps);
  await button(page, "Train").click();
  const events = await hear(page, "the end of the run", (events) => isTrained(events) && events, 600);
  const losses = Object.values(stepsOf(events)[RUN]).map(({ loss }) => loss);
  assert.equal(losses.length, SETTINGS.max_steps);
  assert.ok(losses.every((loss) => loss > 0 && loss < 12), `losses ${losses}`);

  await button(page, "Download the model (zip)").scrollIntoViewIfNeeded();
  await own.locator(`select:has(option[value="${RUN}"])`).first().selectOption(RUN);
  await downloadModel(page);
  await session.close();
});
