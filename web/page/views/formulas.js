// @ts-check
// The chapter's formulas.

import { frac, hat, lines, row, sub, sup, tall, under } from "./mathml.js";

/** @import { Piece } from "./mathml.js" */
/** @typedef {"sft" | "bradley_terry" | "ppo_reward" | "ppo_clip" | "dpo" | "gae"} Name */

/** @type {Record<Name, () => Piece[]>} */
export const FORMULAS = {
  sft: () => [
    "ℒ",
    "(",
    "θ",
    ")",
    "=",
    "−",
    frac("1", "T"),
    sum("t"),
    " ",
    "log",
    " ",
    sub("π", "θ"),
    "(",
    sub("y", "t"),
    "|",
    "x",
    ",",
    sub("y", row("<", "t")),
    ")",
  ],
  bradley_terry: () => [
    lines(
      ["ℒ", "(", "θ", ")", "=", "−", sub("𝔼", row("(", "x", ",", sub("y", "w"), ",", sub("y", "l"), ")", "∼", "D"))],
      [
        "[",
        "log",
        " ",
        "σ",
        "(",
        sub("r", "θ"),
        "(",
        "x",
        ",",
        sub("y", "w"),
        ")",
        "−",
        sub("r", "θ"),
        "(",
        "x",
        ",",
        sub("y", "l"),
        ")",
        ")",
        "]",
      ],
    ),
  ],
  ppo_reward: () => [
    sub("R", "total"),
    "=",
    sub("R", "model"),
    "(",
    "x",
    ",",
    "y",
    ")",
    "−",
    "β",
    " ",
    "log",
    tall(frac(given("RL", "y"), given("SFT", "y"))),
  ],
  ppo_clip: () => [
    lines(
      [
        "ℒ",
        "=",
        "−",
        "𝔼",
        "[",
        "min",
        "(",
        sub("r", "t"),
        sub(hat("A"), "t"),
        ",",
        " ",
        "clip",
        "(",
        sub("r", "t"),
        ",",
        "1",
        "−",
        "ε",
        ",",
        "1",
        "+",
        "ε",
        ")",
        sub(hat("A"), "t"),
        ")",
        "]",
      ],
      [
        sub("r", "t"),
        "=",
        frac(
          row(sub("π", "θ"), "(", sub("y", "t"), "|", "x", ",", sub("y", row("<", "t")), ")"),
          row(sub("π", "old"), "(", sub("y", "t"), "|", "x", ",", sub("y", row("<", "t")), ")"),
        ),
      ],
    ),
  ],
  dpo: () => [
    lines(
      [
        sub("ℒ", "DPO"),
        "=",
        "−",
        "log",
        " ",
        "σ",
        "(",
        "β",
        "[",
        "(",
        "log",
        " ",
        given("θ", sub("y", "w")),
        "−",
        "log",
        " ",
        given("θ", sub("y", "l")),
        ")",
      ],
      ["−", "(", "log", " ", given("ref", sub("y", "w")), "−", "log", " ", given("ref", sub("y", "l")), ")", "]", ")"],
    ),
  ],
  gae: () => [
    lines(
      [sub(hat("A"), "t"), "=", sum("k"), sup(row("(", "γ", "λ", ")"), "k"), sub("δ", row("t", "+", "k"))],
      [sub("δ", "t"), "=", sub("r", "t"), "+", "γ", "V", "(", sub("s", row("t", "+", "1")), ")", "−", "V", "(", sub("s", "t"), ")"],
    ),
  ],
};

/** π of an answer given the prompt. @param {string} policy @param {Piece} answer */
function given(policy, answer) {
  return row(sub("π", policy), "(", answer, "|", "x", ")");
}

/** @param {string} index */
function sum(index) {
  return under("∑", index);
}
