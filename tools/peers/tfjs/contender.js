// @ts-check
// The training step in TensorFlow.js on its WebGPU backend. It has no compiler: each operation is a kernel of its own, so this takes care to
// have few of them. The gradients are those of the library, but for products and the loss.

import * as tf from "@tensorflow/tfjs";
import "@tensorflow/tfjs-backend-webgpu";

import { LEARNING, corrections, ropeTables, taskOf } from "../model.js";

/**
 * @import { Config, Contender, Task } from "../model.js"
 * @typedef {tf.Tensor} Tensor
 * @typedef {Record<string, Tensor>} Tensors
 *
 * All weights after each other, and Adam's two running sums: of the gradients and of their squares, each with its own decay, which are the
 * usual means but for a factor. On one long tensor the optimiser takes a dozen kernels; weight by weight it would take hundreds.
 * @typedef {{weights: Tensor, sums: Tensor, squares: Tensor}} Flat
 */

/** Added to the score of what must not be seen. */
const HIDDEN = -1e9;

const started = tf.setBackend("webgpu").then((found) => {
  if (!found) throw new Error("TensorFlow.js found no WebGPU device");
});

/** @type {Config} */
let config;
/** @type {string[]} */
let names = [];
/** @type {Tensors} what every step reads: the rows, tables, and constants, which would else be sent to the device again and again */
let given = {};
/** @type {Tensor[]} in the order of `names` */
let weights = [];
/** @type {Flat} */
let flat;
let steps = 0;

/** @type {Contender} */
const contender = {
  async prepare(model) {
    await started;
    tf.dispose([given, weights, { ...flat }]);
    const task = taskOf(model);
    config = task.config;
    names = Object.keys(task.weights);
    given = tf.tidy(() => givenOf(task));
    weights = names.map((name) => tf.tensor(task.weights[name].data, task.weights[name].shape));
    flat = tf.tidy(() => {
      const joined = joinedOf(weights);
      return { weights: joined, sums: tf.zerosLike(joined), squares: tf.zerosLike(joined) };
    });
    steps = 0;
  },

  async step() {
    steps += 1;
    const before = [weights, { ...flat }];
    const after = tf.tidy(() => {
      const { value, grads } = differentiated();
      const next = updated(joinedOf(grads));
      return { loss: value, flat: next, weights: partsOf(next.weights) };
    });
    ({ flat, weights } = after);
    tf.dispose(before);
    const [value] = await after.loss.data();
    after.loss.dispose();
    const { device } = /** @type {any} */ (tf.backend());
    await device.queue.onSubmittedWorkDone();
    return value;
  },

  async examine() {
    const { value, grads } = tf.tidy(differentiated);
    const [loss] = await value.data();
    const gradients = await readAll(grads);
    tf.dispose([value, grads]);
    return { loss, gradients };
  },

  weights: () => readAll(weights),
};
Object.assign(globalThis, { contender });

/** The loss and its gradients. */
function differentiated() {
  return tf.valueAndGrads((...each) => lossOf(Object.fromEntries(names.map((name, i) => [name, each[i]]))))(weights);
}

/** The next weights and running sums: the gradients are clipped, then AdamW. @param {Tensor} gradients all of them, flat @returns {Flat} */
function updated(gradients) {
  const { beta1, beta2, eps } = LEARNING;
  const { first, second } = corrections(steps);
  const root = Math.sqrt(1 - beta2) * second;
  // By rows first: a sum of everything at once would be one workgroup's work.
  const norm = tf.sqrt(tf.sum(tf.sum(tf.square(tf.reshape(gradients, [-1, config.width])), 1)));
  const scale = tf.minimum(tf.div(given.maxNorm, tf.add(norm, given.normEps)), given.one);
  const clipped = tf.mul(gradients, scale);
  const sums = tf.add(tf.mul(flat.sums, given.beta1), clipped);
  const squares = tf.add(tf.mul(flat.squares, given.beta2), tf.square(clipped));
  const change = tf.div(sums, tf.add(tf.sqrt(squares), eps / root));
  return { weights: tf.sub(flat.weights, tf.mul(change, (first * (1 - beta1)) / root)), sums, squares };
}

/** @param {Tensors} weights → the mean cross entropy @returns {tf.Scalar} */
function lossOf(weights) {
  const { width, layers, heads, kvHeads, headDim } = config;
  const [rows, length] = given.ids.shape;
  const weight = (/** @type {string} */ name) => weights[`${name}.weight`];
  const linear = (/** @type {Tensor} */ x, /** @type {string} */ name) => against(x, weight(name));

  /** RMSNorm. @param {Tensor} x @param {string} name */
  const norm = (x, name) => {
    const square = tf.mean(tf.square(x), -1, true);
    return tf.mul(tf.mul(x, tf.rsqrt(tf.add(square, given.eps))), weight(name));
  };
  /** The axes of a row's times, heads and dimensions, in another order. @param {Tensor} x @param {number} count @param {number[]} order */
  const split = (x, count, order) => tf.transpose(tf.reshape(x, [rows, length, count, headDim]), order);
  /** RoPE. @param {Tensor} x @param {number} count @param {Tensor} cos @param {Tensor} sin */
  const turned = (x, count, cos, sin) => {
    const halves = [rows, length, count, 2, headDim / 2];
    const swapped = tf.reverse(tf.reshape(x, [-1, 2, headDim / 2]), 1);
    return tf.add(tf.mul(tf.reshape(x, halves), cos), tf.mul(tf.reshape(swapped, halves), sin));
  };
  /** A key's or value's head for each of the query's. @param {Tensor} x */
  const repeated = (x) => {
    if (heads === kvHeads) return x;
    const [, , ...rest] = x.shape;
    const tiled = tf.tile(tf.reshape(x, [rows, kvHeads, 1, length * headDim]), [1, 1, heads / kvHeads, 1]);
    return tf.reshape(tiled, [rows, heads, ...rest]);
  };
  /** @param {Tensor} x @param {string} layer */
  const attention = (x, layer) => {
    const q = split(turned(linear(x, `${layer}.self_attn.q_proj`), heads, given.queryCos, given.querySin), heads, [0, 2, 1, 3]);
    const k = split(turned(linear(x, `${layer}.self_attn.k_proj`), kvHeads, given.cos, given.sin), kvHeads, [0, 2, 1, 3]);
    const v = split(linear(x, `${layer}.self_attn.v_proj`), kvHeads, [0, 2, 3, 1]);
    const shares = tf.softmax(tf.add(against(q, repeated(k)), given.mask));
    const mixed = tf.transpose(against(shares, repeated(v)), [0, 2, 1, 3]);
    return linear(tf.reshape(mixed, [rows * length, heads * headDim]), `${layer}.self_attn.o_proj`);
  };
  /** @param {Tensor} x @param {string} layer */
  const feedForward = (x, layer) => {
    const gate = linear(x, `${layer}.mlp.gate_proj`);
    const inner = tf.mul(tf.mul(gate, tf.sigmoid(gate)), linear(x, `${layer}.mlp.up_proj`));
    return linear(inner, `${layer}.mlp.down_proj`);
  };

  let x = tf.gather(weight("model.embed_tokens"), tf.reshape(given.ids, [-1]));
  for (let i = 0; i < layers; i += 1) {
    const layer = `model.layers.${i}`;
    x = tf.add(x, attention(norm(x, `${layer}.input_layernorm`), layer));
    x = tf.add(x, feedForward(norm(x, `${layer}.post_attention_layernorm`), layer));
  }
  return crossEntropy(linear(tf.reshape(norm(x, "model.norm"), [rows * length, width]), "lm_head"));
}

/**
 * a·bᵀ, by transposing b: a product with the library's own `transposeB`, which its gradients use too, takes twice as long, without vectors.
 * @param {Tensor} a @param {Tensor} b
 */
function against(a, b) {
  const order = [...b.shape.keys()];
  order.push(.../** @type {[number]} */ (order.splice(-2, 1)));
  const forward = (/** @type {any} */ a, /** @type {any} */ b, /** @type {any} */ save) => {
    save([a, b]);
    const gradFunc = (/** @type {Tensor} */ dy, /** @type {Tensor[]} */ [a, b]) => [tf.matMul(dy, b), tf.matMul(dy, a, true)];
    return { value: tf.matMul(a, tf.transpose(b, order)), gradFunc };
  };
  return tf.customGrad(forward)(a, b);
}

/**
 * The library's own computes the gradient of the targets too, which nobody wants, over as many numbers.
 * @param {Tensor} logits @returns {tf.Scalar}
 */
function crossEntropy(logits) {
  const forward = (/** @type {any} */ logits, /** @type {any} */ save) => {
    const isTarget = tf.oneHot(/** @type {tf.Tensor1D} */ (given.targets), config.vocabulary, 1, 0, "float32");
    const shifted = tf.sub(logits, tf.max(logits, 1, true));
    const powers = tf.exp(shifted);
    const sums = tf.sum(powers, 1, true);
    const losses = tf.sub(tf.log(sums), tf.sum(tf.mul(shifted, isTarget), 1, true));
    save([powers, sums, isTarget]);
    const gradFunc = (/** @type {Tensor} */ dy, /** @type {Tensor[]} */ [powers, sums, isTarget]) =>
      tf.mul(tf.sub(tf.div(powers, sums), isTarget), tf.mul(given.shares, dy));
    return { value: tf.sum(tf.mul(losses, given.shares)), gradFunc };
  };
  return /** @type {tf.Scalar} */ (tf.customGrad(forward)(logits));
}

/** @param {Task} task @returns {Tensors} */
function givenOf({ config: { headDim, eps }, rows, length, ids, targets, shares }) {
  const { beta1, beta2, maxNorm, normEps } = LEARNING;
  const { cos, sin, half } = ropeTables(config, length);
  const tables = { cos: tf.tensor(cos, [length, 1, 1, half]), sin: tf.tensor(sin, [length, 1, 2, half]) };
  // The scale of the attention's scores is in the query's tables.
  const scale = 1 / Math.sqrt(headDim);
  const hidden = Float32Array.from({ length: length * length }, (_, i) => (i % length > Math.floor(i / length) ? HIDDEN : 0));
  const constants = Object.entries({ eps, beta1, beta2, maxNorm, normEps, one: 1 });
  return {
    ids: tf.tensor(ids, [rows, length], "int32"),
    targets: tf.tensor(targets, [rows * length], "int32"),
    shares: tf.tensor(shares, [rows * length, 1]),
    mask: tf.tensor(hidden, [length, length]),
    ...tables,
    queryCos: tf.mul(tables.cos, scale),
    querySin: tf.mul(tables.sin, scale),
    ...Object.fromEntries(constants.map(([name, value]) => [name, tf.scalar(value)])),
  };
}

/** @param {Tensor[]} tensors */
function joinedOf(tensors) {
  return tf.concat(tensors.map((tensor) => tf.reshape(tensor, [-1])));
}

/** What `joinedOf` joined, with the weights' shapes. @param {Tensor} joined @returns {Tensor[]} */
function partsOf(joined) {
  const parts = tf.split(joined, weights.map(({ size }) => size));
  return parts.map((part, i) => tf.reshape(part, weights[i].shape));
}

/** @param {Tensor[]} tensors in the order of `names` @returns {Promise<Record<string, number[]>>} */
async function readAll(tensors) {
  const read = await Promise.all(tensors.map(async (tensor) => Array.from(await tensor.data())));
  return Object.fromEntries(names.map((name, i) => [name, read[i]]));
}
