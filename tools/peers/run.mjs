// @ts-check
// Times tasks by everyone who knows them in one headless Chromium, a step of each in turn: `cargo xtask bench-peers` and `bench-web` run this.
//   node tools/peers/run.mjs [--only evenkeel,tfjs,jax,burn,torch] [--tasks "sft S,dpo S,rollout S 64"] [--rounds N] [--patience SECONDS] [--json FILE]
// EVENKEEL_BUILT must name a folder with what was compiled to WebAssembly for evenkeel and burn; who is not there is not among them. The first
// step of each, which compiles its kernels, is told apart. Whoever starts from the same weights must have the same losses, and every loss of
// an SFT must fall, or this fails.

import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";

import { CONTENDERS, EVENKEEL, launch, torchVersion } from "./contenders.mjs";

/** @import { Entry, Tab } from "./contenders.mjs" */
/** @typedef {{contender: string, task: string, first: number, times: number[], losses: number[], error?: string}} Result in milliseconds */

/** Rounds of a task that takes tens of seconds in some library; others get more. @type {Record<string, number>} */
const ROUNDS = { "sft M": 2, "ppo S": 2 };
const MORE_ROUNDS = 5;
/** Of losses from the same weights, relative: sums are added in other orders. */
const TOLERANCE = 1e-4;

const { values: options } = parseArgs({
  options: {
    only: { type: "string", default: CONTENDERS.map(({ name }) => name).join() },
    tasks: { type: "string", default: "sft S,sft M" },
    rounds: { type: "string" },
    patience: { type: "string", default: "3600" },
    json: { type: "string" },
  },
});
const patience = Number(options.patience);
const entries = options.only.split(",").flatMap(present);

const browser = await launch();
/** @type {Result[]} */
const results = [];
try {
  for (const task of options.tasks.split(",")) results.push(...(await compare(task)));
} finally {
  await browser.close();
}
console.log(`\nChromium ${browser.version}, WebGPU on the CPU\n\n${tableOf(results)}\n`);
if (options.json) writeFileSync(options.json, `${JSON.stringify({ chromium: browser.version, results }, undefined, 2)}\n`);
const problems = results.flatMap(problemsOf);
for (const problem of problems) console.error(problem);
process.exitCode = problems.length ? 1 : 0;

/** Whom that names, if it is here. @param {string} name @returns {Entry[]} */
function present(name) {
  const entry = CONTENDERS.find((each) => each.name === name);
  if (!entry) throw new Error(`nobody is called ${name}`);
  if (entry.built && !existsSync(join(String(process.env.EVENKEEL_BUILT), entry.built))) throw new Error(`EVENKEEL_BUILT holds no ${entry.built}`);
  if (!entry.program) return [entry];
  const version = torchVersion();
  if (version) return [{ ...entry, title: `PyTorch ${version}, native on the CPU` }];
  console.error("PyTorch is not among them: python3 has no torch.");
  return [];
}

/** @param {string} task @returns {Promise<Result[]>} */
async function compare(task) {
  /** @type {Result[]} */
  const results = entries.map(({ title }) => ({ contender: title, task, first: NaN, times: [], losses: [] }));
  /** @type {Tab[]} */
  const tabs = [];
  /** Does something with each contender that has not failed. @param {string} what @param {(i: number) => Promise<void>} work */
  const inTurn = async (what, work) => {
    for (const [i, result] of results.entries()) {
      if (result.error) continue;
      console.error(`${task}: ${result.contender}: ${what}`);
      try {
        await work(i);
      } catch (error) {
        result.error = error.message;
        await tabs[i]?.close();
      }
    }
  };
  const step = async (/** @type {number} */ i) => {
    const { value, ms } = await tabs[i].call("step", undefined, patience);
    if (value !== null) results[i].losses.push(value);
    return ms;
  };
  await inTurn("prepare", async (i) => {
    tabs[i] = await browser.open(entries[i]);
    await tabs[i].call("prepare", task, patience);
  });
  await inTurn("first step", async (i) => {
    results[i].first = await step(i);
  });
  const rounds = Number(options.rounds ?? ROUNDS[task] ?? MORE_ROUNDS);
  for (let round = 1; round <= rounds; round += 1) {
    await inTurn(`round ${round} of ${rounds}`, async (i) => {
      results[i].times.push(await step(i));
    });
  }
  for (const [i, { error }] of results.entries()) if (!error) await tabs[i].close();
  return results;
}

/** What is wrong with the losses. @param {Result} result @returns {string[]} */
function problemsOf({ contender, task, losses, error }) {
  if (error) return [`${task}: ${contender} failed`];
  const sameWeights = (/** @type {string} */ title) => entries.find((entry) => entry.title === title)?.weights;
  const isSft = task.startsWith("sft");
  const rises = isSft && losses.some((loss, i) => !(i === 0 || loss < losses[i - 1]));
  if (rises) return [`${task}: ${contender}'s loss does not fall: ${losses.join(", ")}`];
  const other = results.find((result) => result.task === task && !result.error && sameWeights(result.contender));
  if (!isSft || !other || !sameWeights(contender)) return [];
  const apart = losses.filter((loss, i) => !(Math.abs(loss - other.losses[i]) <= TOLERANCE * other.losses[i]));
  return apart.length ? [`${task}: ${contender}'s losses ${losses.join(", ")} are not ${other.contender}'s ${other.losses.join(", ")}`] : [];
}

/** @param {Result[]} results */
function tableOf(results) {
  const head = ["step", "contender", "first ms", "median ms", "fastest", "slowest", "last loss", `median / ${EVENKEEL}'s`];
  const rows = results.map(({ contender, task, first, times, losses, error }) => {
    if (error) return [task, contender, `failed: ${error.replaceAll("|", "\\|").replaceAll("\n", " ")}`, ...head.slice(3).map(() => "")];
    const base = results.find((other) => other.contender === EVENKEEL && other.task === task && !other.error);
    const ratio = base ? (median(times) / median(base.times)).toFixed(2) : "";
    const milliseconds = [first, median(times), Math.min(...times), Math.max(...times)].map((ms) => ms.toFixed(0));
    return [task, contender, ...milliseconds, losses.at(-1)?.toFixed(5) ?? "", ratio];
  });
  return [head, head.map((_, i) => (i < 2 ? "---" : "---:")), ...rows].map((row) => `| ${row.join(" | ")} |`).join("\n");
}

/** @param {number[]} values */
function median(values) {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}
