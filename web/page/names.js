// @ts-check
// Runs and models by the names that people read.

import { t } from "./i18n.js";

const PLAIN = new Set(["base", "sft", "preferences", "reward", "ppo", "dpo", "compare"]);

/** @param {string} name as the worker calls the run or its model */
export function runName(name) {
  if (PLAIN.has(name)) return t(`run.${name}`);
  if (name === "ppo β=0") return t("run.no_anchor");
  const fork = /^ppo β=(\S+?)(?: @(\d+))?(?: seed (\d+))?$/.exec(name);
  if (!fork) return name;
  const [, beta, step, seed] = fork;
  if (seed) return t("run.fork_seed", { beta, seed });
  return step ? t("run.fork_at", { beta, step }) : t("run.fork", { beta });
}

/** Runs for a chart, under the names that people read. @template {{name: string}} R @param {R[]} runs @returns {R[]} */
export function withNames(runs) {
  return runs.map((run) => ({ ...run, name: runName(run.name) }));
}
