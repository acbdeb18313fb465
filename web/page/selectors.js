// @ts-check
// Questions that several panels ask of the state.

/** @import { Run, State } from "./state.js" */
import { curve } from "./state.js";

/** Colours that a chart has for runs: --series-1 to --series-8. */
const COLOURS = 8;

/** @param {string} name */
export function isPpo(name) {
  return /^ppo( |$)/.test(name);
}

/** @param {State} state */
export function ppoRuns(state) {
  return Object.values(state.runs).filter((run) => isPpo(run.name));
}

/** The PPO run that is looked at: the one chosen, or the one that began last. @param {State} state @returns {Run | null} */
export function lookedAt(state) {
  if (state.look.run !== null && state.runs[state.look.run]) return state.runs[state.look.run];
  if (state.current !== null && isPpo(state.current)) return state.runs[state.current];
  return ppoRuns(state).at(-1) ?? null;
}

/** Of a list by step the entry of `step`, or the last one before it; null: the latest. @template {{step: number}} T @param {T[]} list @param {number | null} step */
export function at(list, step) {
  const upTo = step === null ? list : list.filter((entry) => entry.step <= step);
  return upTo.at(-1) ?? null;
}

/** What a chart draws of one run. @param {Run | undefined} run @param {number} [color] */
export function forChart(run, color = 1) {
  return run ? [{ name: run.name, color, steps: curve(run) }] : [];
}

/** What a chart draws of the PPO runs that are not left out, each in a colour that it keeps. @param {Record<string, Run>} runs @param {string[]} hidden */
export function ppoForChart(runs, hidden) {
  const coloured = Object.values(runs)
    .filter((run) => isPpo(run.name))
    .map((run, i) => ({ name: run.name, color: (i % COLOURS) + 1, steps: curve(run) }));
  return coloured.filter(({ name }) => !hidden.includes(name));
}

/** Metrics of the latest step, or of `step`. @param {Run | null | undefined} run @param {number | null} [step] */
export function metricsAt(run, step = null) {
  return run ? (at(run.steps, step)?.metrics ?? null) : null;
}

/** β of a PPO run as it is now. @param {Run | null} run */
export function betaOf(run) {
  return run?.steps.at(-1)?.metrics["objective/kl_coef"] ?? run?.episodes.at(-1)?.kl_coef ?? null;
}
