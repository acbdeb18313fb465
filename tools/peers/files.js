// @ts-check
// A task's model as the files of a Hugging Face folder.

/** @import { Config, Weight } from "./model.js" */

/** `config.json`. @param {Config} config */
export function configOf({ vocabulary, width, layers, heads, kvHeads, headDim, ff, eps, theta }) {
  return {
    architectures: ["LlamaForCausalLM"],
    model_type: "llama",
    vocab_size: vocabulary,
    hidden_size: width,
    intermediate_size: ff,
    num_hidden_layers: layers,
    num_attention_heads: heads,
    num_key_value_heads: kvHeads,
    head_dim: headDim,
    max_position_embeddings: 512,
    rms_norm_eps: eps,
    rope_theta: theta,
    hidden_act: "silu",
    tie_word_embeddings: false,
    bos_token_id: 0,
    eos_token_id: 1,
  };
}

/** `model.safetensors`: the length of a table in JSON, the table, then the numbers. @param {Record<string, Weight>} weights */
export function safetensorsOf(weights) {
  let end = 0;
  const table = Object.entries(weights).map(([name, { shape, data }]) => {
    const start = end;
    end += data.byteLength;
    return [name, { dtype: "F32", shape, data_offsets: [start, end] }];
  });
  const plain = JSON.stringify(Object.fromEntries(table));
  const head = new TextEncoder().encode(plain.padEnd(Math.ceil(plain.length / 8) * 8));
  const file = new Uint8Array(8 + head.length + end);
  new DataView(file.buffer).setBigUint64(0, BigInt(head.length), true);
  file.set(head, 8);
  let at = 8 + head.length;
  for (const { data } of Object.values(weights)) {
    file.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), at);
    at += data.byteLength;
  }
  return file;
}
