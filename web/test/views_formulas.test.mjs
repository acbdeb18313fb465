// What the formulas say with numbers in them. MathML needs a document; a list of texts is enough of one.

import assert from "node:assert/strict";
import { test } from "node:test";

class Text {
  /** @param {string} name */
  constructor(name) {
    this.name = name;
    this.textContent = "";
  }
  append(...children) {
    this.textContent += children.map((child) => child.textContent).join("");
  }
  setAttribute() {}
}
globalThis.document = /** @type {any} */ ({ createElementNS: (_, name) => new Text(name) });

const { FORMULAS } = await import("../page/views/formulas.js");
const { substituted } = await import("../page/views/formula_numbers.js");
const { en } = await import("../page/views/words.js");

const written = (name, metrics) =>
  substituted(name, metrics).map(({ pieces }) => pieces.map((piece) => (typeof piece === "string" ? piece : piece.textContent)).join(""));

test("the reward is the score as used, less β times KL", () => {
  const metrics = {
    "objective/kl_coef": 0.5,
    "objective/kl": 0.6473,
    "objective/rlhf_reward": -0.1098,
    "objective/non_score_reward": -0.3236,
    "objective/scores": 0.7941,
  };
  assert.deepEqual(written("ppo_reward", metrics), ["Rtotal=0.214−0.50×0.647=−0.110", "Rmodel=+0.794"]);
});

test("DPO begins at ln 2, and a negative reward stands in brackets", () => {
  const metrics = { loss: Math.LN2, "rewards/chosen": -0.001, "rewards/rejected": -0.05, "rewards/margins": 0.049 };
  const [margin, loss] = written("dpo", metrics);
  assert.match(margin, /=\(−0\.001\)−\(−0\.050\)=0\.049$/);
  assert.match(loss, /=0\.6931, −log σ\(0\)=ln 2=0\.6931$/);
});

test("a margin is turned into the probability of preferring the winner", () => {
  const [line] = substituted("bradley_terry", { margin: 0.75 });
  assert.equal(line.params?.share, "68 %");
  assert.match(written("bradley_terry", { eval_margin: 0.75 })[0], /σ\(\+0\.750\)=0\.679$/);
});

test("lines whose numbers are missing are left out", () => {
  for (const name of Object.keys(FORMULAS)) {
    assert.deepEqual(substituted(name, {}), [], name);
    assert.ok(FORMULAS[name]().length > 0, name);
    for (const part of ["name", "where"]) assert.ok(`view.formula.${part}.${name}` in en);
  }
});
