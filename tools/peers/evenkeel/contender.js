// @ts-check
// evenkeel's own trainers, as its worker runs them. Its SFT starts from the weights that the other libraries start from.

import init, { Contender } from "/built/evenkeel/bench.js";
import { asked } from "../asked.js";
import { configOf, safetensorsOf } from "../files.js";
import { taskOf } from "../model.js";

Object.assign(globalThis, { contender: asked(init().then(() => Contender.open()), giveWeights) });

/** @param {Contender} program @param {string} task */
function giveWeights(program, task) {
  const [kind, size] = task.split(" ");
  if (kind !== "sft") return false;
  const { config, weights } = taskOf(task);
  program.prepare_sft(size, new TextEncoder().encode(JSON.stringify(configOf(config))), safetensorsOf(weights));
  return true;
}
