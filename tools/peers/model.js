// @ts-check
// The training step that every contender takes: the sizes of its Llama, its weights, its rows and its optimiser, the same numbers for all.
// Names and shapes are Hugging Face's: a linear layer's weight is [out, in].

/**
 * @typedef {object} Config
 * @property {number} vocabulary
 * @property {number} width
 * @property {number} layers
 * @property {number} heads
 * @property {number} kvHeads fewer than `heads` for grouped queries
 * @property {number} headDim
 * @property {number} ff inner width of the feed-forward network
 * @property {number} eps of RMSNorm
 * @property {number} theta base of RoPE
 *
 * @typedef {{shape: number[], data: Float32Array<ArrayBuffer>}} Weight
 *
 * What a contender may be given in the place of a task's name. `labels` are the ids that a position itself holds, -100 where it is not trained.
 * @typedef {{config: Config, weights: Record<string, {shape: number[], data: ArrayLike<number>}>, ids: number[][], labels: number[][]}} Custom
 *
 * `targets` are the ids to predict, and `shares` the weights of their losses in the mean: zero where there is nothing to predict.
 * @typedef {object} Task
 * @property {Config} config
 * @property {Record<string, Weight>} weights
 * @property {number} rows
 * @property {number} length
 * @property {Int32Array<ArrayBuffer>} ids
 * @property {Int32Array<ArrayBuffer>} targets
 * @property {Float32Array<ArrayBuffer>} shares
 *
 * What a page exposes as `contender`; `examine` and `weights` are for the check alone.
 * @typedef {object} Contender
 * @property {(task: string | Custom) => Promise<void>} prepare "sft S", "sft M" and what else it knows
 * @property {() => Promise<number | null>} step one step of the optimiser → the loss before it, if there is one
 * @property {() => Promise<{loss: number, gradients: Record<string, number[]>}>} [examine]
 * @property {() => Promise<Record<string, number[]>>} [weights]
 */

const EPS = 1e-5;
const THETA = 10000;
const UNTRAINED = -100;
const DEVIATION = 0.02;
const SEED = 20240607;

/** @type {Record<string, {config: Config, rows: number, length: number}>} */
const SIZES = {
  "sft S": { config: { vocabulary: 512, width: 128, layers: 4, heads: 4, kvHeads: 4, headDim: 32, ff: 512, eps: EPS, theta: THETA }, rows: 8, length: 128 },
  "sft M": { config: { vocabulary: 4096, width: 256, layers: 6, heads: 8, kvHeads: 8, headDim: 32, ff: 1024, eps: EPS, theta: THETA }, rows: 4, length: 256 },
};

/** AdamW with a weight decay of zero, after the gradient's norm was clipped. */
export const LEARNING = { rate: 2e-5, beta1: 0.9, beta2: 0.999, eps: 1e-8, maxNorm: 1, normEps: 1e-6 };

/** @param {string | Custom} task @returns {Task} */
export function taskOf(task) {
  if (typeof task !== "string") {
    const weights = Object.entries(task.weights).map(([name, { shape, data }]) => [name, { shape, data: Float32Array.from(data) }]);
    return { config: task.config, weights: Object.fromEntries(weights), ...batchOf(task.ids, task.labels) };
  }
  const size = SIZES[task];
  if (!size) throw new Error(`it has no ${task}`);
  const { config, rows, length } = size;
  const ids = Array.from({ length: rows }, (_, i) => Array.from({ length }, (_, t) => (t * 31 + i * 7) % config.vocabulary));
  return { config, weights: drawn(config), ...batchOf(ids, ids) };
}

/**
 * The corrections of Adam's two means, which start from zero, in its `step`th step from 1: `p -= first·m / (√v·second + eps)`.
 * @param {number} step
 */
export function corrections(step) {
  const { rate, beta1, beta2 } = LEARNING;
  return { first: rate / (1 - beta1 ** step), second: 1 / Math.sqrt(1 - beta2 ** step) };
}

/**
 * RoPE by halves: with a head's dimensions as [2, half], x ↦ x·cos + (x with its halves swapped)·sin. `cos` is [length, half] and `sin`
 * [length, 2, half], which has the sign of the rotation in it.
 * @param {Config} config @param {number} length
 */
export function ropeTables({ headDim, theta }, length) {
  const half = headDim / 2;
  const cos = new Float32Array(length * half);
  const sin = new Float32Array(length * 2 * half);
  for (let t = 0; t < length; t += 1) {
    for (let i = 0; i < half; i += 1) {
      const angle = t * theta ** (-i / half);
      cos[t * half + i] = Math.cos(angle);
      sin[(2 * t + 1) * half + i] = Math.sin(angle);
      sin[2 * t * half + i] = -Math.sin(angle);
    }
  }
  return { cos, sin, half };
}

/** @param {Config} config @returns {[string, number[]][]} */
export function shapesOf({ vocabulary, width, layers, heads, kvHeads, headDim, ff }) {
  /** @type {[string, number[]][]} */
  const shapes = [["model.embed_tokens.weight", [vocabulary, width]]];
  for (let layer = 0; layer < layers; layer += 1) {
    const name = (/** @type {string} */ part) => `model.layers.${layer}.${part}.weight`;
    shapes.push([name("input_layernorm"), [width]]);
    shapes.push([name("self_attn.q_proj"), [heads * headDim, width]]);
    shapes.push([name("self_attn.k_proj"), [kvHeads * headDim, width]]);
    shapes.push([name("self_attn.v_proj"), [kvHeads * headDim, width]]);
    shapes.push([name("self_attn.o_proj"), [width, heads * headDim]]);
    shapes.push([name("post_attention_layernorm"), [width]]);
    shapes.push([name("mlp.gate_proj"), [ff, width]]);
    shapes.push([name("mlp.up_proj"), [ff, width]]);
    shapes.push([name("mlp.down_proj"), [width, ff]]);
  }
  return [...shapes, ["model.norm.weight", [width]], ["lm_head.weight", [vocabulary, width]]];
}

/** @param {Config} config @returns {Record<string, Weight>} */
function drawn(config) {
  const normal = normals(SEED);
  const draw = (/** @type {number[]} */ shape) => {
    const each = shape.length === 1 ? () => 1 : () => DEVIATION * normal();
    return Float32Array.from({ length: shape.reduce((a, b) => a * b) }, each);
  };
  return Object.fromEntries(shapesOf(config).map(([name, shape]) => [name, { shape, data: draw(shape) }]));
}

/** Normal numbers by Box and Muller's method, from Marsaglia's xorshift generator (13, 17, 5). @param {number} seed */
function normals(seed) {
  let state = seed;
  const uniform = () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return ((state >>> 0) + 0.5) / 2 ** 32;
  };
  return () => Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform());
}

/** @param {number[][]} ids @param {number[][]} labels */
function batchOf(ids, labels) {
  const [rows, length] = [ids.length, ids[0].length];
  const targets = labels.flatMap((row) => [...row.slice(1), UNTRAINED]);
  const count = targets.filter((id) => id !== UNTRAINED).length;
  return {
    rows,
    length,
    ids: Int32Array.from(ids.flat()),
    targets: Int32Array.from(targets, (id) => Math.max(id, 0)),
    shares: Float32Array.from(targets, (id) => (id === UNTRAINED ? 0 : 1 / count)),
  };
}
