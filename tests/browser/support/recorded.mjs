// The recorded lesson in a browser without WebGPU: the page plays it as it does for such a visitor.

import { readFileSync } from "node:fs";

import { button } from "./visitor.mjs";

/** @import { Page } from "playwright-core" */

/** The recording that the page comes with. */
const OWN = new URL("../../../web/page/recording.json", import.meta.url);
/** Seconds between two events of the replay: nobody watches. */
const PACE = 0.02;
/** By then what has come on screen is drawn. */
const LOOK_MS = 100;

/** What the server gives in the place of the page's recording: the same events, faster. @param {string | URL} [file] */
export function recording(file = OWN) {
  const { events, ...about } = JSON.parse(readFileSync(file, "utf8"));
  const paced = events.map(([, event], i) => [i * PACE, event]);
  return { "/page/recording.json": JSON.stringify({ ...about, events: paced }) };
}

/** @param {Page} page */
export async function playToTheEnd(page) {
  await button(page, "Watch a recorded run").first().click();
  const bar = page.locator(".notice", { hasText: "A recording" });
  await bar.getByLabel("Speed").selectOption("20");
  await page.getByText("All runs are done.").waitFor({ timeout: 60_000 });
}

/** Has every panel drawn: what is off screen waits until it is looked at. @param {Page} page */
export async function drawAll(page) {
  const height = () => page.evaluate(() => document.documentElement.scrollHeight);
  const screen = page.viewportSize()?.height ?? 0;
  for (let top = 0; top < (await height()); top += screen / 2) {
    await page.evaluate((y) => scrollTo({ top: y, behavior: "instant" }), top);
    await page.waitForTimeout(LOOK_MS);
  }
}
