// Screenshots of every station, light and dark, wide and phone:
//   node tests/browser/screenshots.mjs DIST OUT [RECORDING.json]
// of a recorded lesson (`{device, date, command, events: [[second, event], …]}`) or, without one, of the one that the page comes with.

import { mkdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { smaller } from "./support/png.mjs";

const [folder, out, recorded] = process.argv.slice(2);
if (!folder || !out) {
  console.error("usage: node tests/browser/screenshots.mjs DIST OUT [RECORDING.json]");
  process.exit(2);
}
process.env.EVENKEEL_DIST = folder;
const { open } = await import("./support/browser.mjs");
const { drawAll, playToTheEnd, recording } = await import("./support/recorded.mjs");

const SIZES = { wide: { width: 1440, height: 900 }, phone: { width: 390, height: 844 } };
const STATIONS = ["why", "sft", "reward", "ppo", "anchor", "dpo", "own", "chat"];
/** A picture of a whole station on a phone would be a ribbon: so many screens of it are shown. */
const SCREENS = 2;
const MARGIN = 20;

mkdirSync(out, { recursive: true });
const files = recording(recorded);
for (const [size, viewport] of Object.entries(SIZES)) {
  const { page, close } = await open({ files, gpu: false, viewport });
  await playToTheEnd(page);
  for (const theme of /** @type {const} */ (["light", "dark"])) {
    await page.emulateMedia({ colorScheme: theme, reducedMotion: "reduce" });
    await drawAll(page);
    for (const station of STATIONS) await picture(page, station, `${station}-${theme}-${size}`, viewport.height * SCREENS);
  }
  await close();
}

/** @param {import("playwright-core").Page} page @param {string} station @param {string} name @param {number} tallest */
async function picture(page, station, name, tallest) {
  const section = page.locator(`#${station}`);
  await page.locator(`#stations a[href="#${station}"]`).click();
  await page.waitForTimeout(400);
  const box = await section.boundingBox();
  const top = await page.evaluate(() => scrollY);
  const path = join(out, `${name}.png`);
  const { width } = page.viewportSize();
  const x = Math.max(0, box.x - MARGIN);
  const clip = { x, y: box.y + top, width: Math.min(width - x, box.width + 2 * MARGIN), height: Math.min(box.height, tallest) };
  writeFileSync(path, smaller(await page.screenshot({ fullPage: true, clip })));
  console.log(`${path} ${Math.round(statSync(path).size / 1024)} KiB`);
}
