// @ts-check
// Whether the contenders compute what they say, on the tiny Llama of the golden references: the loss and every gradient against PyTorch's, and
// three steps of the optimiser against AdamW in double precision.
//   node tools/peers/check.mjs [--only tfjs,jax]

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

import { CONTENDERS, launch } from "./contenders.mjs";
import { LEARNING } from "./model.js";

/** @import { Tab } from "./contenders.mjs" */
/** @import { Config } from "./model.js" */
/** @typedef {Record<string, ArrayLike<number>>} Arrays */

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const GOLDEN = join(process.env.EVENKEEL_SHARED ?? join(ROOT, "../shared"), "golden");
const LOSS = 1e-4;
const GRADIENT = 1e-3;
/** Of the change of all weights: it is so small that the weights' own rounding is seen in it. */
const CHANGE = 1e-2;
const STEPS = 3;

const { values: options } = parseArgs({ options: { only: { type: "string", default: CONTENDERS.map(({ name }) => name).join() } } });

const parameters = safetensors(join(GOLDEN, "llama/model.safetensors"));
const golden = safetensors(join(GOLDEN, "llama.sft.safetensors"));
const model = {
  config: configOf(JSON.parse(readFileSync(join(GOLDEN, "llama/config.json"), "utf8"))),
  weights: Object.fromEntries(Object.entries(parameters).map(([name, { shape, data }]) => [name, { shape, data: [...data] }])),
  ids: rowsOf(golden.input_ids),
  labels: rowsOf(golden.labels),
};

const browser = await launch();
try {
  for (const entry of CONTENDERS.filter(({ name }) => options.only.split(",").includes(name))) {
    const tab = await browser.open(entry);
    console.log(`${entry.title}: ${await check(tab)}`);
    await tab.close();
  }
} finally {
  await browser.close();
}

/** @param {Tab} tab */
async function check(tab) {
  await tab.call("prepare", model);
  const { loss, gradients } = (await tab.call("examine")).value;
  const wanted = golden.sft_loss.data[0];
  const lossOff = Math.abs(loss - wanted) / wanted;
  assert.ok(lossOff <= LOSS, `the loss is ${loss}, not ${wanted}`);
  assert.deepEqual(Object.keys(gradients).sort(), Object.keys(parameters).sort());
  const offs = Object.keys(parameters).map((name) => {
    const off = apart(gradients[name], golden[`grad.${name}`].data);
    assert.ok(off <= GRADIENT, `the gradient of ${name} is off by ${off}`);
    return off;
  });
  const changeOff = await checkSteps(tab);
  return [
    `loss ${loss} (off by ${lossOff.toExponential(1)})`,
    `${offs.length} gradients (off by ${Math.max(...offs).toExponential(1)} at most)`,
    `${STEPS} steps of AdamW (off by ${changeOff.toExponential(1)} at most)`,
  ].join(", ");
}

/** Each step against one from the same weights, with the contender's own gradients, which are right. @param {Tab} tab */
async function checkSteps(tab) {
  const adam = adamW();
  const offs = [];
  let weights = (await tab.call("weights")).value;
  for (let step = 1; step <= STEPS; step += 1) {
    const { loss, gradients } = (await tab.call("examine")).value;
    const wanted = adam(gradients);
    const told = (await tab.call("step")).value;
    assert.ok(Math.abs(told - loss) <= LOSS * loss, `step ${step} says that the loss was ${told}, which was ${loss}`);
    const after = (await tab.call("weights")).value;
    const all = (/** @type {Record<string, number[]>} */ arrays) => Object.keys(wanted).flatMap((name) => arrays[name]);
    const before = all(weights);
    const off = apart(all(after).map((each, i) => each - before[i]), all(wanted));
    assert.ok(off <= CHANGE, `step ${step} changes the weights otherwise than AdamW, by ${off}`);
    offs.push(off);
    weights = after;
  }
  return Math.max(...offs);
}

/**
 * → what AdamW adds to the weights for such gradients, step after step.
 * @returns {(gradients: Record<string, number[]>) => Record<string, number[]>}
 */
function adamW() {
  const { rate, beta1, beta2, eps, maxNorm, normEps } = LEARNING;
  /** @type {Record<string, number[]>} */
  const means = {};
  /** @type {Record<string, number[]>} */
  const squares = {};
  let step = 0;
  return (gradients) => {
    step += 1;
    const scale = Math.min(1, maxNorm / (norm(Object.values(gradients).flat()) + normEps));
    return Object.fromEntries(
      Object.entries(gradients).map(([name, gradient]) => {
        means[name] = gradient.map((g, i) => beta1 * (means[name]?.[i] ?? 0) + (1 - beta1) * scale * g);
        squares[name] = gradient.map((g, i) => beta2 * (squares[name]?.[i] ?? 0) + (1 - beta2) * (scale * g) ** 2);
        const change = gradient.map((_, i) => {
          const mean = means[name][i] / (1 - beta1 ** step);
          const square = squares[name][i] / (1 - beta2 ** step);
          return (-rate * mean) / (Math.sqrt(square) + eps);
        });
        return [name, change];
      }),
    );
  };
}

/** How far `got` is from `wanted`, by norms. @param {ArrayLike<number>} got @param {ArrayLike<number>} wanted */
function apart(got, wanted) {
  assert.equal(got.length, wanted.length);
  return norm(Array.from(got, (each, i) => each - wanted[i])) / norm(wanted);
}

/** @param {ArrayLike<number>} x */
function norm(x) {
  return Math.sqrt(Array.from(x).reduce((sum, each) => sum + each * each, 0));
}

/** @param {any} config Hugging Face's @returns {Config} */
function configOf(config) {
  return {
    vocabulary: config.vocab_size,
    width: config.hidden_size,
    layers: config.num_hidden_layers,
    heads: config.num_attention_heads,
    kvHeads: config.num_key_value_heads,
    headDim: config.head_dim ?? config.hidden_size / config.num_attention_heads,
    ff: config.intermediate_size,
    eps: config.rms_norm_eps,
    theta: config.rope_parameters.rope_theta,
  };
}

/** @param {{shape: number[], data: number[]}} array @returns {number[][]} */
function rowsOf({ shape: [rows, length], data }) {
  return Array.from({ length: rows }, (_, i) => data.slice(i * length, (i + 1) * length));
}

/** The arrays of a file of floats and 64 bit integers. @param {string} path @returns {Record<string, {shape: number[], data: number[]}>} */
function safetensors(path) {
  const file = readFileSync(path);
  const start = 8 + Number(file.readBigUInt64LE());
  const { __metadata__: _, ...entries } = JSON.parse(file.toString("utf8", 8, start));
  return Object.fromEntries(
    Object.entries(entries).map(([name, { dtype, shape, data_offsets: [from, to] }]) => {
      assert.ok(dtype === "F32" || dtype === "I64", `${name} is of type ${dtype}`);
      const { buffer, byteOffset } = Buffer.from(file.subarray(start + from, start + to));
      const length = (to - from) / (dtype === "F32" ? 4 : 8);
      const bytes = buffer.slice(byteOffset, byteOffset + to - from);
      const data = dtype === "F32" ? [...new Float32Array(bytes)] : Array.from(new BigInt64Array(bytes), Number);
      assert.equal(data.length, length);
      return [name, { shape, data }];
    }),
  );
}
