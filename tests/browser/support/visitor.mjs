// What a visitor does on the page, by the words that are on it.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

import { hear } from "./heard.mjs";

/** @import { Page } from "playwright-core" */

const PATIENCE_MS = 120_000;

/** @param {Page} page @param {string} name */
export function button(page, name) {
  return page.getByRole("button", { name, exact: true });
}

/** The choice labelled `label` in a station; its label's text has the options in it too. @param {Page} page @param {string} station @param {string} label */
export function choice(page, station, label) {
  const title = page.locator(".field-label").getByText(label, { exact: true });
  return page.locator(`#${station} label.field`).filter({ has: title }).locator("select");
}

/** Presses Start and waits until the device has passed its check. @param {Page} page */
export async function start(page) {
  await button(page, "Start").click();
  const device = await hear(page, "a device", (events) => events.find(({ event }) => event === "device" || event === "failed"), 120);
  assert.equal(device.event, "device", `no WebGPU adapter: ${device.message}`);
  assert.deepEqual(device.checks.filter(({ passed }) => !passed), [], "kernels disagree with their CPU twins");
}

/** To a station by the list at the top. @param {Page} page @param {string} name */
export async function goTo(page, name) {
  await page.locator("#stations").getByRole("link", { name, exact: true }).click();
}

/** @param {Page} page @param {"en" | "zh"} language */
export async function speak(page, language) {
  await page.locator("#choices select").first().selectOption(language);
}

/** Asks for answers, ranks them by keyboard from A to the last, and hands the ranking in. @param {Page} page */
export async function rank(page) {
  const ranker = page.locator("#reward .view-ranker");
  await ranker.locator('[data-keep="ask"]').press("Enter");
  const cards = ranker.locator(".view-ranking-answer");
  await cards.first().waitFor({ timeout: 120_000 });
  for (let left = (await cards.count()) - 1; left > 0; left -= 1) await ranker.locator('.view-ranking-answer[aria-pressed="false"]').first().press("Enter");
  await ranker.locator('[data-keep="submit"]').press("Enter");
}

/** Downloads what a button gives. @param {Page} page @param {string} name of the button @returns {Promise<string>} the file */
export async function download(page, name) {
  const downloading = page.waitForEvent("download");
  await button(page, name).click();
  return (await downloading).path();
}

/** Downloads the chosen model and checks that it is one in Hugging Face's layout. @param {Page} page */
export async function downloadModel(page) {
  const zip = await download(page, "Download the model (zip)");
  execFileSync("unzip", ["-tqq", zip]);
  const config = JSON.parse(execFileSync("unzip", ["-p", zip, "config.json"], { encoding: "utf8" }));
  assert.deepEqual(config.architectures, ["LlamaForCausalLM"]);
}

/** Unpacks a zip into a folder that the end of the test removes. @param {import("node:test").TestContext} t @param {string} zip */
export function unpack(t, zip) {
  const folder = mkdtempSync(join(tmpdir(), "evenkeel-run-"));
  t.after(() => rmSync(folder, { recursive: true }));
  execFileSync("unzip", ["-qq", zip, "-d", folder]);
  return folder;
}

/** Waits until `get` gives `wanted`, looking again and again. @template T @param {() => Promise<T>} get @param {T} wanted @param {string} what */
export async function becomes(get, wanted, what) {
  const limit = Date.now() + PATIENCE_MS;
  let last = await get();
  while (last !== wanted && Date.now() < limit) {
    await sleep(100);
    last = await get();
  }
  assert.equal(last, wanted, what);
}
