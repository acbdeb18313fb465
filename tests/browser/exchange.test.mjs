// A run that is begun on one side and ended on the other: the losses are those of a run that stayed where it was.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import test from "node:test";

import { open } from "./support/browser.mjs";
import { hear, stepsOf } from "./support/heard.mjs";
import { SHARED, SHORT, bringModel, estimate, rowsOf, set, trained } from "./support/own.mjs";
import { button, download, unpack } from "./support/visitor.mjs";

const RUN = "own sft";
const ROWS = rowsOf(4);
const STEPS = 40;
/** As between a browser and the native program throughout. */
const TOLERANCE = 1e-3;

/** Runs the program in `folder`, on the model and the rows. @param {string} folder @param {string[]} args */
function train(folder, ...args) {
  const model = resolve(SHARED, "models/stories260K");
  execFileSync(String(process.env.EVENKEEL_BIN), ["sft", "--model", model, "--data", "rows.jsonl", "--device", "cpu", ...args], { cwd: folder, stdio: "pipe" });
}

/** A folder with the rows, and a run of `steps` steps by the program that nobody disturbed. @param {import("node:test").TestContext} t @param {number} steps @param {string[]} settings */
function undisturbed(t, steps, ...settings) {
  const folder = mkdtempSync(join(tmpdir(), "evenkeel-exchange-"));
  t.after(() => rmSync(folder, { recursive: true }));
  writeFileSync(join(folder, "rows.jsonl"), ROWS.join("\n"));
  const all = Object.entries({ ...SHORT, max_steps: steps }).map(([name, value]) => `${name}=${value}`).concat(settings);
  train(folder, "--out", "run", ...all.flatMap((setting) => ["--set", setting]));
  return folder;
}

/** Losses by step. @param {string} run a run folder @returns {Record<number, number>} */
function lossesOf(run) {
  const events = readFileSync(join(run, "events.jsonl"), "utf8").trim().split("\n").map((line) => JSON.parse(line));
  return Object.fromEntries(events.filter(({ event }) => event === "step").map(({ step, metrics }) => [step, metrics.loss]));
}

/** @param {Record<number, number>} got @param {Record<number, number>} wanted */
function agree(got, wanted) {
  assert.deepEqual(Object.keys(got), Object.keys(wanted));
  for (const [step, loss] of Object.entries(wanted)) assert.ok(Math.abs(got[step] - loss) <= TOLERANCE, `step ${step}: ${got[step]} and ${loss}`);
}

test("a run that was stopped on the page is ended by the program", async (t) => {
  const { page, browser, close } = await open();
  t.after(() => browser.close());
  await bringModel(page);
  await set(page, { ...SHORT, max_steps: STEPS });
  assert.deepEqual((await estimate(page, ROWS)).problems, []);
  await button(page, "Train").click();
  await hear(page, "a step", (events) => Object.keys(stepsOf(events)[RUN] ?? {}).length > 0);
  await button(page, "Stop and keep the model").click();
  const done = Object.keys(stepsOf(await trained(page, RUN))[RUN]).length;
  assert.ok(done < STEPS, `it was stopped after step ${done}`);
  await page.locator("#own").locator(`select:has(option[value="${RUN}"])`).last().selectOption(RUN);
  const run = unpack(t, await download(page, "Download the run folder (zip)"));
  await close();

  const native = undisturbed(t, STEPS);
  assert.throws(() => {
    writeFileSync(join(native, "rows.jsonl"), ROWS.slice(1).join("\n"));
    train(native, "--resume", run);
  }, /rows\.jsonl: is not the file that the run began with/);
  writeFileSync(join(native, "rows.jsonl"), ROWS.join("\n"));
  train(native, "--resume", run);
  agree(lossesOf(run), lossesOf(join(native, "run")));
});

test("a run that was interrupted at home is ended on the page", async (t) => {
  const [last, cut] = [6, 2];
  const native = undisturbed(t, last, `save_steps=${cut}`, "save_total_limit=0");
  const wanted = lossesOf(join(native, "run"));
  // As if it had been killed after its first checkpoint.
  const checkpoints = join(native, "run", "checkpoints");
  for (const name of readdirSync(checkpoints)) if (name.startsWith("step-") && name !== `step-00000${cut}`) rmSync(join(checkpoints, name), { recursive: true });
  for (const name of ["step", "kept"]) writeFileSync(join(checkpoints, "LATEST", name), String(cut));

  const { page, browser, close } = await open();
  t.after(() => browser.close());
  const choose = (/** @type {string} */ folder) => page.getByLabel("Go on with a run folder").setInputFiles(folder);
  await bringModel(page);
  await choose(join(native, "run"));
  await page.getByText("Choose the model and the rows that the run began with").waitFor();
  await estimate(page, ROWS.slice(1));
  await choose(join(native, "run"));
  await page.getByText("which the run began with (SHA-256 differs)").first().waitFor();
  await estimate(page, ROWS);
  await choose(checkpoints);
  await page.getByText("no run folder of evenkeel").waitFor();
  await choose(join(native, "run"));
  await page.getByText(`Your run of SFT was interrupted at step ${cut}`).waitFor();
  await button(page, "Go on").click();
  const steps = stepsOf(await trained(page, RUN))[RUN];
  agree(Object.fromEntries(Object.entries(steps).map(([step, { loss }]) => [step, loss])), wanted);
  await close();
});
