// @ts-check
// DPO's pairs: the implicit reward β·log(π/π_ref) of every token and of each answer, and the margin between the two.

import { h, redrawn } from "./dom.js";
import { fixed, signed } from "./format.js";
import { promptLine, score } from "./judged.js";
import { createDetail, middleColour, scaleLegend, tokenStrip, visible } from "./tokens.js";
import { implicitReward, scaleLimit } from "./token_values.js";

/** @import { Scored, ShownPair, Translate } from "./types.js" */

const MOST_PAIRS = 4;
const MOST_TOKENS = 160;

/** @param {HTMLElement} root @param {{t: Translate}} options */
export function createPairs(root, { t }) {
  const detail = createDetail();
  /** @type {import("./colour.js").Rgb | undefined} */
  let middle;

  /** @param {{step: number, beta: number, pairs: ShownPair[]}} data @param {boolean} relabelled */
  const draw = ({ step, beta, pairs }, relabelled) => {
    const shown = pairs.slice(0, MOST_PAIRS).map((pair) => ({
      prompt: pair.prompt,
      answers: [answerOf("chosen", pair.chosen, beta), answerOf("rejected", pair.rejected, beta)],
    }));
    const answers = shown.flatMap((pair) => pair.answers);
    const limit = scaleLimit(answers.flatMap((answer) => answer.reward.tokens));
    const longest = scaleLimit(answers.map((answer) => answer.reward.total));
    if (relabelled || middle === undefined) middle = middleColour(root);
    const ground = middle;
    const strip = (/** @type {ReturnType<typeof answerOf>} */ answer, /** @type {number} */ i) =>
      h(
        "div",
        { class: `view-pair view-pair-${answer.side}` },
        h("p", { class: "view-pair-name" }, h("b", {}, t(`view.pairs.${answer.side}`)), score(answer.reward.total, longest)),
        tokenStrip({ label: t(`view.pairs.${answer.side}`), cells: answer.cells, limit, middle: ground, keep: `pair-${i}-${answer.side}` }),
      );
    return [
      h(
        "div",
        { class: "view-row" },
        scaleLegend(ground, [signed(-limit), "0", signed(limit)], t("view.pairs.scale", { beta: fixed(beta) })),
        h("span", { class: "view-quiet" }, t("view.step", { n: step })),
      ),
      detail(
        shown.map((pair, i) =>
          h(
            "div",
            { class: "view-card" },
            promptLine(t, pair.prompt),
            ...pair.answers.map((answer) => strip(answer, i)),
            marginLine(pair.answers[0].reward.total - pair.answers[1].reward.total),
          ),
        ),
        t("view.pairs.hint"),
      ),
    ];
  };

  /** @param {"chosen" | "rejected"} side @param {Scored} scored @param {number} beta */
  const answerOf = (side, scored, beta) => {
    const reward = implicitReward(beta, scored);
    const cells = scored.tokens.slice(0, MOST_TOKENS).map((text, i) => ({
      text,
      number: signed(reward.tokens[i]),
      tone: reward.tokens[i] ?? null,
      detail: t("view.pairs.token", {
        token: visible(text),
        beta: fixed(beta),
        policy: fixed(scored.logprobs[i], 3),
        reference: fixed(scored.ref_logprobs[i], 3),
        reward: signed(reward.tokens[i], 3),
      }),
    }));
    return { side, reward, cells };
  };

  /** @param {number} margin */
  const marginLine = (margin) =>
    h(
      "p",
      { class: "view-margin" },
      h(
        "span",
        { class: margin > 0 ? "view-yes" : "view-no" },
        t(margin > 0 ? "view.pairs.right" : margin < 0 ? "view.pairs.wrong" : "view.pairs.tie"),
      ),
      " ",
      t("view.pairs.margin", { margin: signed(margin), probability: fixed(1 / (1 + Math.exp(-margin))) }),
    );

  return redrawn(root, { t, name: "pairs", draw });
}
