// @ts-check
// Who is compared, and a headless Chromium with WebGPU on the CPU that has a tab for each.

import { execFileSync, spawn } from "node:child_process";
import { mkdtempSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

import { ARGS, executable } from "../../tests/browser/support/browser.mjs";
import { serve } from "../../tests/browser/support/server.mjs";
import { chromium } from "../../web/node_modules/playwright-core/index.mjs";
import { configOf, safetensorsOf } from "./files.js";
import { LEARNING, taskOf } from "./model.js";

/**
 * A page below this folder that exposes a `Contender` as its global `contender`, or a program outside the browser. `built` is the folder of
 * EVENKEEL_BUILT that the page needs; `weights` tells that its SFT starts from those of model.js.
 * @typedef {{name: string, title: string, page?: string, program?: string, built?: string, weights?: boolean}} Entry
 *
 * @typedef {object} Tab
 * @property {(method: string, argument?: unknown, seconds?: number) => Promise<{value: any, ms: number}>} call
 * @property {() => Promise<void>} close
 */

const HERE = new URL(".", import.meta.url);
const { dependencies } = JSON.parse(readFileSync(new URL("package.json", HERE), "utf8"));
const stockBurn = readFileSync(new URL("../stock-burn/Cargo.toml", HERE), "utf8").match(/^burn = .*version = "=([^"]+)"/m)?.[1];

export const EVENKEEL = "evenkeel";

/** @type {Entry[]} */
export const CONTENDERS = [
  { name: EVENKEEL, page: "evenkeel/", title: "evenkeel", built: "evenkeel", weights: true },
  { name: "tfjs", page: "tfjs/", title: `TensorFlow.js ${dependencies["@tensorflow/tfjs"]}`, weights: true },
  { name: "jax", page: "jax/", title: `jax-js ${dependencies["@jax-js/jax"]}`, weights: true },
  { name: "burn", page: "burn/", title: `burn ${stockBurn} without autotuning`, built: "burn" },
  { name: "torch", program: "torch/contender.py", title: "PyTorch", weights: true },
];

const LOAD_MS = 120_000;

export async function launch() {
  const server = await serve(fileURLToPath(HERE), built());
  const browser = await chromium.launch({ executablePath: executable(), args: ARGS, proxy: { server: server.address, bypass: "127.0.0.1" } });
  browser.once("disconnected", () => server.stop());
  return {
    version: browser.version(),
    open: (/** @type {Entry} */ entry) => (entry.program ? start(entry) : open(browser, server.address, entry)),
    close: () => browser.close(),
  };
}

/** The version of PyTorch that this machine's Python has. @returns {string | undefined} */
export function torchVersion() {
  try {
    return execFileSync("python3", ["-c", "import torch; print(torch.__version__)"], { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }).trim();
  } catch {
    return undefined;
  }
}

/** What was compiled to WebAssembly, by the path that the pages ask for. */
function built() {
  const folder = process.env.EVENKEEL_BUILT;
  if (!folder) return {};
  const files = readdirSync(folder, { recursive: true, encoding: "utf8" }).filter((name) => statSync(join(folder, name)).isFile());
  return Object.fromEntries(files.map((name) => [`/built/${name}`, readFileSync(join(folder, name))]));
}

/** @param {import("playwright-core").Browser} browser @param {string} address of this folder @param {Entry} entry @returns {Promise<Tab>} */
async function open(browser, address, entry) {
  const page = await browser.newPage();
  /** @type {string[]} */
  const complaints = [];
  page.on("console", (message) => {
    if (message.type() === "error") complaints.push(message.text());
  });
  page.on("pageerror", (error) => complaints.push(error.message));
  const failed = (/** @type {any} */ error) => new Error([error.message.split("\n")[0], ...new Set(complaints)].join("; "));
  try {
    await page.goto(new URL(String(entry.page), address).href);
    await page.waitForFunction(() => "contender" in globalThis, undefined, { timeout: LOAD_MS });
  } catch (error) {
    await page.close();
    throw failed(error);
  }
  return {
    close: () => page.close(),
    /** Has the contender do something; the time is the page's own, with nothing of the way there and back. */
    async call(method, argument, seconds = 3600) {
      await page.bringToFront();
      const called = page.evaluate(
        async ([method, argument]) => {
          const start = performance.now();
          const value = await /** @type {any} */ (globalThis).contender[/** @type {string} */ (method)](argument);
          return { value, ms: performance.now() - start };
        },
        [method, argument],
      );
      return within(called, seconds, method).catch((error) => {
        throw failed(error);
      });
    },
  };
}

/** A program that is asked by lines of JSON. @param {Entry} entry @returns {Promise<Tab>} */
async function start(entry) {
  const program = spawn("python3", [fileURLToPath(new URL(String(entry.program), HERE))], { stdio: ["pipe", "pipe", "inherit"] });
  const lines = createInterface({ input: program.stdout })[Symbol.asyncIterator]();
  return {
    async close() {
      program.kill();
    },
    async call(method, argument, seconds = 3600) {
      const files = method === "prepare" ? filesOf(String(argument)) : undefined;
      program.stdin.write(`${JSON.stringify({ method, argument: files })}\n`);
      const { value: line = '{"error":"it ended"}' } = await within(lines.next(), seconds, method);
      if (files) rmSync(files.folder, { recursive: true });
      const answer = JSON.parse(line);
      if (answer.error) throw new Error(answer.error);
      return answer;
    },
  };
}

/** A task in a folder for a program to read. @param {string} name */
function filesOf(name) {
  const { config, weights, ids, rows, length } = taskOf(name);
  const folder = mkdtempSync(join(tmpdir(), "evenkeel-peers-"));
  writeFileSync(join(folder, "config.json"), JSON.stringify(configOf(config)));
  writeFileSync(join(folder, "model.safetensors"), safetensorsOf(weights));
  return { folder, rows: Array.from({ length: rows }, (_, i) => [...ids.slice(i * length, (i + 1) * length)]), learning: LEARNING };
}

/** @template T @param {Promise<T>} promise @param {number} seconds @param {string} what @returns {Promise<T>} */
async function within(promise, seconds, what) {
  /** @type {NodeJS.Timeout | undefined} */
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what} took longer than ${seconds} s`)), 1000 * seconds);
  });
  try {
    return await Promise.race([promise, /** @type {Promise<never>} */ (late)]);
  } finally {
    clearTimeout(timer);
  }
}
