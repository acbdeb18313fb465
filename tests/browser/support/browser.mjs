// Headless Chromium with WebGPU on the CPU, a page of ours in it, and everything that the page must not do.

import assert from "node:assert/strict";
import { accessSync, constants, existsSync } from "node:fs";
import { delimiter, join } from "node:path";

import { chromium } from "../../../web/node_modules/playwright-core/index.mjs";
import { listen } from "./heard.mjs";
import { serve } from "./server.mjs";

/** How Chromium is started. */
export const ARGS = [
  "--headless=new",
  "--no-sandbox",
  "--enable-unsafe-webgpu",
  "--use-webgpu-adapter=swiftshader",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];
const NO_WEBGPU = [...ARGS.filter((arg) => !arg.includes("webgpu")), "--disable-features=WebGPU"];

/** The lesson that is played everywhere: very small, and shows every part at work. */
export const LESSON = { preset: "micro", seed: 7 };

/** The page as trunk built it. */
export function dist() {
  const folder = process.env.EVENKEEL_DIST;
  assert(folder && existsSync(join(folder, "worker_bg.wasm")), "EVENKEEL_DIST must name the folder of a built page (trunk build --dist FOLDER)");
  return folder;
}

/**
 * @typedef {object} Opening
 * @property {string} [address] what follows the "#"
 * @property {boolean} [gpu]
 * @property {boolean} [bypassCSP] lets a test put its own script into the page
 * @property {{width: number, height: number}} [viewport]
 * @property {Record<string, string>} [files] served beside the built page's own
 */

/** Opens the page in a browser of its own. `close` fails when something happened that must not. @param {Opening} [opening] */
export async function open({ address = `preset=${LESSON.preset}&seed=${LESSON.seed}`, gpu = true, bypassCSP = false, viewport = { width: 1440, height: 900 }, files } = {}) {
  const server = await serve(dist(), files);
  const args = gpu ? ARGS : NO_WEBGPU;
  const browser = await chromium.launch({ executablePath: executable(), args, proxy: { server: server.address, bypass: "127.0.0.1" } });
  // Also after a failure, or the process would wait for the server for ever.
  browser.once("disconnected", () => server.stop());
  const context = await browser.newContext({ bypassCSP, viewport, locale: "en-GB", acceptDownloads: true });
  const page = await context.newPage();
  const complaints = complaintsOf(page);
  await listen(page);
  await page.goto(`${server.address}#${address}`);
  return {
    browser,
    page,
    complaints,
    async close() {
      await browser.close();
      assert.deepEqual(complaints, [], "the console shows errors");
      assert.deepEqual(server.refused, [], "the page asked for what it does not hold, or another host");
    },
  };
}

/** Errors in the console, of the page and of its workers, as they come. @param {import("playwright-core").Page} page */
function complaintsOf(page) {
  /** @type {string[]} */
  const complaints = [];
  page.on("console", (message) => {
    if (message.type() === "error") complaints.push(`console: ${message.text()}`);
  });
  page.on("pageerror", (error) => complaints.push(`page error: ${error.stack}`));
  page.on("crash", () => complaints.push("the page crashed"));
  return complaints;
}

/** Chromium, by the names it goes by. */
export function executable() {
  const names = ["chromium", "chromium-browser", "google-chrome"];
  const folders = String(process.env.PATH).split(delimiter);
  const found = names.flatMap((name) => folders.map((folder) => join(folder, name))).find(isProgram);
  assert(found, `none of ${names.join(", ")} is on PATH`);
  return found;
}

/** @param {string} file */
function isProgram(file) {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
