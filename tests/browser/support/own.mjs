// A visitor with a model and rows of their own.

import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";

import { hear, eventsOf } from "./heard.mjs";
import { button, goTo } from "./visitor.mjs";

/** @import { Page } from "playwright-core" */

export const SHARED = process.env.EVENKEEL_SHARED ?? "../shared";
/** Short enough for WebGPU on the CPU. */
export const SHORT = { per_device_train_batch_size: 1, max_length: 48 };

/** Real rows for SFT, one JSON object each. @param {number} count */
export function rowsOf(count) {
  return readFileSync(join(SHARED, "data/alpaca-eval-sft.jsonl"), "utf8").split("\n").slice(0, count);
}

/** Goes to the station and chooses a real model. @param {Page} page */
export async function bringModel(page) {
  await hear(page, "the worker's first word", (events) => events.some(({ event }) => event === "ready"), 60);
  await goTo(page, "Your own");
  const folder = join(SHARED, "models/stories260K");
  await chooser(page, "first").setInputFiles(readdirSync(folder).map((name) => join(folder, name)));
}

/** Fills in the recipe's form. @param {Page} page @param {Record<string, number>} settings */
export async function set(page, settings) {
  for (const [name, value] of Object.entries(settings)) {
    const label = page.locator("#own label.setting", { has: page.locator("code", { hasText: new RegExp(`^${name}$`) }) });
    await label.locator("input").fill(String(value));
    await label.locator("input").press("Tab");
  }
}

/** Chooses rows, packed; first a file that is cut off. → what the page says of the run. @param {Page} page @param {string[]} lines @returns {Promise<any>} */
export async function estimate(page, lines) {
  const before = (await eventsOf(page)).filter(({ event }) => event === "estimate").length;
  const packed = gzipSync(Buffer.from(lines.join("\n")));
  const choose = (/** @type {Buffer} */ buffer) => chooser(page, "last").setInputFiles({ name: "rows.jsonl.gz", mimeType: "application/gzip", buffer });
  await choose(packed.subarray(0, -9));
  await page.locator("#own").getByText("rows.jsonl.gz cannot be unpacked").waitFor();
  await choose(packed);
  await page.locator("#own").getByText("Data: rows.jsonl (").waitFor();
  await button(page, "Estimate memory and time").click();
  return hear(page, "an estimate", (events) => events.filter(({ event }) => event === "estimate")[before], 60);
}

/** The events up to the end of `run`, when its model is among those that can be talked to. @param {Page} page @param {string} run */
export function trained(page, run) {
  const isTrained = (/** @type {any[]} */ events) => events.findLast(({ event }) => event === "state")?.models.includes(run);
  return hear(page, `the end of ${run}`, (events) => isTrained(events) && events, 600);
}

/** @param {Page} page @param {"first" | "last"} which */
function chooser(page, which) {
  return page.locator("#own .drop input[type=file]")[which]();
}
