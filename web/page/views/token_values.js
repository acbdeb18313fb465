// @ts-check
// What is shown of a token: differences and bounds of numbers that the trainer sent.

/** @import { Scored, Shown } from "./types.js" */

/** @typedef {"log_ratio" | "reward" | "value" | "advantage" | "ratio"} Mode */
/** @type {Mode[]} */
export const MODES = ["log_ratio", "reward", "value", "advantage", "ratio"];

/** Per token; empty while it is not known. @param {Mode} mode @param {Shown} episode @returns {number[]} */
export function valuesOf(mode, episode) {
  switch (mode) {
    case "log_ratio":
      return logRatios(episode);
    case "reward":
      return episode.rewards;
    case "value":
      return episode.values;
    case "advantage":
      return episode.advantages;
    case "ratio":
      return episode.ratios;
  }
}

/** log π/π_ref per token; empty while either is not known. @param {{logprobs: number[], ref_logprobs: number[]}} answer */
export function logRatios({ logprobs, ref_logprobs }) {
  return ref_logprobs.length === logprobs.length ? logprobs.map((logprob, i) => logprob - ref_logprobs[i]) : [];
}

/** DPO's implicit reward β·log(π/π_ref), per token and in all. @param {number} beta @param {Scored} answer */
export function implicitReward(beta, answer) {
  const tokens = logRatios(answer).map((ratio) => beta * ratio);
  return { tokens, total: tokens.reduce((sum, value) => sum + value, 0) };
}

/** Whether the clip decides the token's loss: the ratio has left 1 ± ε in the direction that its advantage rewards. @param {number} ratio @param {number} advantage @param {number} cliprange */
export function isClipped(ratio, advantage, cliprange) {
  return (advantage > 0 && ratio > 1 + cliprange) || (advantage < 0 && ratio < 1 - cliprange);
}

/** The number that decides a cell's colour: zero is the middle of the scale. @param {Mode} mode @param {number} value */
export function tone(mode, value) {
  return mode === "ratio" ? Math.log(Math.max(value, 1e-6)) : value;
}

/** Where the scale ends: the largest tone, but no less than makes rounding noise invisible. @param {number[]} tones */
export function scaleLimit(tones) {
  return tones.reduce((limit, value) => Math.max(limit, Math.abs(value)), 0.1);
}
