// @ts-check
// The formulas with this moment's numbers.

import { fixed, isNumber, percent, signed } from "./format.js";
import { bar, bracketed, frac, hat, row, sub, sup } from "./mathml.js";

/** @import { Metrics } from "./types.js" */
/** @import { Name } from "./formulas.js" */
/** @import { Piece } from "./mathml.js" */
/** @typedef {{pieces: Piece[], note: string, params?: Record<string, string>}} Line `note` is a key of the words */

/** What can be said with the metrics at hand; lines whose numbers are missing are left out. @param {Name} name @param {Metrics} metrics @returns {Line[]} */
export function substituted(name, metrics) {
  return numbers[name](metrics).filter((line) => line !== null);
}

/** @type {Record<Name, (metrics: Metrics) => (Line | null)[]>} */
const numbers = {
  sft: ({ loss }) => [
    said([loss], "loss", () => ["ℒ", "=", fixed(loss, 3)]),
    said(
      [loss],
      "token_probability",
      () => [sup("e", row("−", "ℒ")), "=", sup("e", row("−", fixed(loss, 3))), "=", fixed(Math.exp(-loss), 3)],
      { share: percent(Math.exp(-loss)) },
    ),
  ],
  bradley_terry: (metrics) => {
    const margin = metrics.margin ?? metrics.eval_margin;
    const loss = metrics.loss ?? metrics.eval_loss;
    return [
      said(
        [margin],
        "margin",
        () => [
          sub("r", "w"),
          "−",
          sub("r", "l"),
          "=",
          signed(margin, 3),
          ",",
          " ",
          "σ",
          "(",
          signed(margin, 3),
          ")",
          "=",
          fixed(sigmoid(margin), 3),
        ],
        { share: percent(sigmoid(margin)) },
      ),
      said([loss], "mean_loss", () => ["ℒ", "=", fixed(loss, 3)]),
    ];
  },
  ppo_reward: (metrics) => {
    const [beta, kl, total, penalty] = ["objective/kl_coef", "objective/kl", "objective/rlhf_reward", "objective/non_score_reward"].map(
      (key) => metrics[key],
    );
    // What was added to the penalty is the reward model's score as the trainer used it.
    const used = total - penalty;
    return [
      said([beta, kl, total, penalty], "reward", () => [
        sub("R", "total"),
        "=",
        fixed(used, 3),
        "−",
        fixed(beta),
        "×",
        bracketed(fixed(kl, 3)),
        "=",
        fixed(total, 3),
      ]),
      said([metrics["objective/scores"]], "raw_score", () => [sub("R", "model"), "=", signed(metrics["objective/scores"], 3)]),
    ];
  },
  ppo_clip: (metrics) => [
    said([metrics["val/ratio"]], "ratio", () => [sub(bar("r"), "t"), "=", fixed(metrics["val/ratio"], 3)]),
    said([metrics["policy/clipfrac_avg"], metrics["loss/policy_avg"]], "clipped", () => ["ℒ", "=", fixed(metrics["loss/policy_avg"], 4)], {
      share: percent(metrics["policy/clipfrac_avg"], 1),
    }),
  ],
  dpo: (metrics) => {
    const [chosen, rejected, margin] = ["rewards/chosen", "rewards/rejected", "rewards/margins"].map((key) => metrics[key]);
    return [
      said([chosen, rejected, margin], "implicit", () => [
        sub(hat("r"), "w"),
        "−",
        sub(hat("r"), "l"),
        "=",
        bracketed(fixed(chosen, 3)),
        "−",
        bracketed(fixed(rejected, 3)),
        "=",
        fixed(margin, 3),
      ]),
      said([metrics.loss], "dpo_loss", () => [
        sub("ℒ", "DPO"),
        "=",
        fixed(metrics.loss, 4),
        ",",
        " ",
        "−",
        "log",
        " ",
        "σ",
        "(",
        "0",
        ")",
        "=",
        "ln",
        " ",
        "2",
        "=",
        "0.6931",
      ]),
    ];
  },
  gae: (metrics) => [
    said([metrics["val/explained_variance"]], "explained", () => [
      row("1", "−"),
      frac(row("Var", "(", hat("R"), "−", "V", ")"), row("Var", "(", hat("R"), ")")),
      "=",
      fixed(metrics["val/explained_variance"], 3),
    ]),
    said([metrics["loss/value_avg"]], "value_loss", () => [sub("ℒ", "V"), "=", fixed(metrics["loss/value_avg"], 4)]),
  ],
};

/** @param {(number | undefined)[]} needed @param {string} note @param {() => Piece[]} pieces @param {Record<string, string>} [params] @returns {Line | null} */
function said(needed, note, pieces, params) {
  return needed.every(isNumber) ? { pieces: pieces(), note: `view.formula.note.${note}`, params } : null;
}

/** @param {number} value */
function sigmoid(value) {
  return 1 / (1 + Math.exp(-value));
}
