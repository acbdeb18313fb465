// @ts-check
// The shapes that views are given, as crates/evenkeel-core/src/event.rs writes them. Types only.

/** @typedef {(key: string, params?: Record<string, string | number>) => string} Translate */
/** @typedef {Record<string, number>} Metrics */
/** @typedef {{name: string, color: number, steps: {step: number, metrics: Metrics}[]}} Run a curve's owner; `color` is 1 to 8 */
/** @typedef {"helpful" | "harmful" | "unanswerable"} Kind */
/** @typedef {{prompt: string, kind: Kind, text: string, gold: number, reward?: number}} Answer */
/** @typedef {{text: string, trained: boolean}} Token */
/** @typedef {"rollout" | "score" | "kl" | "advantage" | "update"} Phase */
/**
 * @typedef {object} Shown
 * @property {string} prompt
 * @property {string[]} tokens
 * @property {number} score
 * @property {number} gold
 * @property {number[]} logprobs
 * @property {number[]} ref_logprobs
 * @property {number[]} rewards
 * @property {number[]} values
 * @property {number[]} advantages
 * @property {number[]} ratios
 */
/** @typedef {{tokens: string[], logprobs: number[], ref_logprobs: number[]}} Scored */
/** @typedef {{prompt: string, chosen: Scored, rejected: Scored}} ShownPair */
/** @typedef {{index: number, prompt: string, kind: Kind, answers: string[]}} Ranking */
/** @typedef {{index: number, order: number[], simulated: number[], count: number}} Ranked */
/** @typedef {{model: string, gold: number, helpful: number, harmless: number, honest: number, reward: number, kl: number, thanks: number, tokens: number}} Comparison */
/** @typedef {{kind: Kind, prompt: string, answers: [string, string, number][]}} SampleRow */
/** @typedef {{stage: string, seconds: number, steps: number, tokens: number, bytes?: number | null}} Cost */

export {};
