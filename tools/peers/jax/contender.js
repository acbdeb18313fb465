// @ts-check
// The training step in jax-js: the whole of it, from the rows to the new weights, is one jitted function.
// Arrays count their references: an array given to a function is given away, and `ref` keeps it for another use.

import { defaultDevice, getWebGPUDevice, init, jit, nn, numpy as np, tree, valueAndGrad } from "@jax-js/jax";

import { LEARNING, corrections, ropeTables, taskOf } from "../model.js";

/**
 * @import { Config, Contender, Custom, Task } from "../model.js"
 * @typedef {np.Array} Tensor
 * @typedef {Record<string, Tensor>} Tensors
 */

const started = init("webgpu").then((devices) => {
  if (!devices.includes("webgpu")) throw new Error("jax-js found no WebGPU device");
  defaultDevice("webgpu");
});

/** @type {Tensors} */
let weights = {};
/** @type {Tensors} Adam's running means of the gradients, and of their squares */
let means = {};
/** @type {Tensors} */
let squares = {};
/** @type {Tensors} */
let batch = {};
/** @type {any} */
let train;
/** @type {any} */
let differentiated;
let steps = 0;

/** @type {Contender} */
const contender = {
  async prepare(model) {
    await started;
    for (const old of [weights, means, squares, batch]) tree.dispose(old);
    train?.dispose();
    differentiated?.dispose();
    const task = taskOf(model);
    weights = Object.fromEntries(Object.entries(task.weights).map(([name, { shape, data }]) => [name, np.array(data, { shape })]));
    means = zerosLike(weights);
    squares = zerosLike(weights);
    batch = batchOf(task);
    const differentiate = (/** @type {Tensors} */ weights, /** @type {Tensors} */ batch) =>
      valueAndGrad((/** @type {Tensors} */ each) => lossOf(task.config, each, batch))(weights);
    train = jit(stepOf(differentiate));
    differentiated = jit(differentiate);
    steps = 0;
    for (const array of tree.leaves([weights, batch])) await array.blockUntilReady();
  },

  async step() {
    steps += 1;
    const { first, second } = corrections(steps);
    const rates = np.array(Float32Array.of(first, second));
    /** @type {Tensor} */
    let loss;
    [loss, weights, means, squares] = train(weights, means, squares, tree.ref(batch), rates);
    // This starts all of the step's kernels, those of the new weights too.
    const [value] = await loss.data();
    await getWebGPUDevice().queue.onSubmittedWorkDone();
    return value;
  },

  async examine() {
    const [loss, gradients] = differentiated(tree.ref(weights), tree.ref(batch));
    const [value] = await loss.data();
    return { loss: value, gradients: await readAll(gradients) };
  },

  weights: () => readAll(tree.ref(weights)),
};
Object.assign(globalThis, { contender });

/**
 * The loss and its gradients, the gradients clipped, and AdamW.
 * @param {(weights: Tensors, batch: Tensors) => [Tensor, Tensors]} differentiate
 * @returns {(weights: Tensors, means: Tensors, squares: Tensors, batch: Tensors, rates: Tensor) => [Tensor, Tensors, Tensors, Tensors]}
 */
function stepOf(differentiate) {
  const { beta1, beta2, eps, maxNorm, normEps } = LEARNING;
  return (weights, means, squares, batch, rates) => {
    const [loss, gradients] = differentiate(tree.ref(weights), batch);
    const norm = np.sqrt(Object.values(gradients).map(sumOfSquares).reduce((a, b) => a.add(b)));
    const scale = np.minimum(np.reciprocal(norm.add(normEps)).mul(maxNorm), 1);
    const [first, second] = [rates.ref.slice(0), rates.slice(1)];
    /** @type {[Tensors, Tensors, Tensors]} */
    const [newWeights, newMeans, newSquares] = [{}, {}, {}];
    for (const [name, weight] of Object.entries(weights)) {
      const gradient = gradients[name].mul(scale.ref);
      const mean = means[name].mul(beta1).add(gradient.ref.mul(1 - beta1));
      const square = squares[name].mul(beta2).add(np.square(gradient).mul(1 - beta2));
      newMeans[name] = mean.ref;
      newSquares[name] = square.ref;
      newWeights[name] = weight.sub(mean.mul(first.ref).div(np.sqrt(square).mul(second.ref).add(eps)));
    }
    for (const used of [scale, first, second]) used.dispose();
    return [loss, newWeights, newMeans, newSquares];
  };
}

/** By rows first: a sum of everything at once would be one workgroup's work. @param {Tensor} x */
function sumOfSquares(x) {
  const squares = np.square(x.ref);
  return x.ndim > 1 ? squares.sum(-1).sum() : squares.sum();
}

/** @param {Config} config @param {Tensors} weights @param {Tensors} batch → the mean cross entropy @returns {Tensor} */
function lossOf(config, weights, { ids, targets, shares, cos, sin }) {
  const { vocabulary, width, layers, heads, kvHeads, headDim, eps } = config;
  const [rows, length] = ids.shape;
  const weight = (/** @type {string} */ name) => weights[`${name}.weight`];
  const linear = (/** @type {Tensor} */ x, /** @type {string} */ name) => np.matmul(x, np.transpose(weight(name)));

  /** RMSNorm. @param {Tensor} x @param {string} name */
  const norm = (x, name) => {
    const square = np.mean(np.square(x.ref), -1, { keepdims: true });
    return x.mul(np.reciprocal(np.sqrt(square.add(eps)))).mul(weight(name));
  };
  /** RoPE: a flip of the halves is only another view of `x`. @param {Tensor} x @param {number} count */
  const turned = (x, count) => {
    const halves = x.reshape([rows, length, count, 2, headDim / 2]);
    return halves.ref.mul(cos.ref).add(np.flip(halves, 3).mul(sin.ref)).reshape([rows, length, count, headDim]);
  };
  /** @param {Tensor} x @param {string} layer */
  const attention = (x, layer) => {
    const q = turned(linear(x.ref, `${layer}.self_attn.q_proj`), heads);
    const k = turned(linear(x.ref, `${layer}.self_attn.k_proj`), kvHeads);
    const v = linear(x, `${layer}.self_attn.v_proj`).reshape([rows, length, kvHeads, headDim]);
    const mixed = nn.dotProductAttention(q, k, v, { isCausal: true });
    return linear(mixed.reshape([rows * length, heads * headDim]), `${layer}.self_attn.o_proj`);
  };
  /** @param {Tensor} x @param {string} layer */
  const feedForward = (x, layer) => {
    const gate = nn.silu(linear(x.ref, `${layer}.mlp.gate_proj`));
    return linear(gate.mul(linear(x, `${layer}.mlp.up_proj`)), `${layer}.mlp.down_proj`);
  };

  let x = np.take(weight("model.embed_tokens"), ids.reshape([-1]), 0).reshape([rows * length, width]);
  for (let i = 0; i < layers; i += 1) {
    const layer = `model.layers.${i}`;
    x = x.ref.add(attention(norm(x, `${layer}.input_layernorm`), layer));
    x = x.ref.add(feedForward(norm(x, `${layer}.post_attention_layernorm`), layer));
  }
  cos.dispose();
  sin.dispose();
  const logits = linear(norm(x, "model.norm"), "lm_head");
  // The target's logit by a comparison rather than by its index: the gradient of that is a part of another kernel, not a scatter of its own.
  const isTarget = np.arange(vocabulary).equal(targets.reshape([-1, 1]));
  const chosen = np.where(isTarget, logits.ref, 0).sum(-1);
  return nn.logsumexp(logits, -1).sub(chosen).mul(shares).sum();
}

/** @param {Task} task @returns {Tensors} */
function batchOf({ config, rows, length, ids, targets, shares }) {
  const { cos, sin, half } = ropeTables(config, length);
  return {
    ids: np.array(ids, { shape: [rows, length] }),
    targets: np.array(targets, { shape: [rows, length] }),
    shares: np.array(shares),
    cos: np.array(cos, { shape: [length, 1, 1, half] }),
    sin: np.array(sin, { shape: [length, 1, 2, half] }),
  };
}

/** @param {Tensors} tensors @returns {Tensors} */
function zerosLike(tensors) {
  return tree.map((/** @type {Tensor} */ x) => np.zeros(x.shape), tensors);
}

/** @param {Tensors} tensors @returns {Promise<Record<string, number[]>>} */
async function readAll(tensors) {
  /** @type {Record<string, number[]>} */
  const read = {};
  for (const [name, tensor] of Object.entries(tensors)) read[name] = Array.from(await tensor.data());
  return read;
}
