// @ts-check
// What the reward model learnt to like, beside what it is worth in truth.

import { h, redrawn, styled } from "./dom.js";
import { signed } from "./format.js";

/** @import { Translate } from "./types.js" */
/** @typedef {{habit: string, reward: number, gold: number}} Row */

/** Below this a reward is not called a liking. */
const NOTICED = 0.05;

/** @param {HTMLElement} root @param {{t: Translate}} options */
export function createLiking(root, { t }) {
  /** @param {{step: number, rows: Row[]}} data */
  const draw = ({ step, rows }) => {
    const limit = Math.max(0.5, ...rows.flatMap((row) => [Math.abs(row.reward), Math.abs(row.gold)]));
    return [
      h("p", { class: "view-row view-key" }, key("reward"), key("gold"), h("span", { class: "view-quiet" }, t("view.step", { n: step }))),
      h("ul", { class: "view-liking-list" }, ...rows.map((row) => habit(row, limit))),
      h("p", { class: "view-note" }, t("view.liking.about")),
    ];
  };

  /** @param {"reward" | "gold"} name */
  const key = (name) =>
    h("span", {}, h("span", { class: `view-swatch view-fill-${name}`, "aria-hidden": "true" }), t(`view.liking.${name}`));

  /** @param {Row} row @param {number} limit */
  const habit = (row, limit) =>
    h(
      "li",
      {},
      h("p", { class: "view-liking-name" }, h("b", {}, t(`view.liking.habit.${row.habit}`)), verdict(row)),
      .../** @type {const} */ (["reward", "gold"]).map((name) => bar(name, row[name], limit)),
    );

  /** @param {Row} row */
  const verdict = ({ reward, gold }) => reward > NOTICED && gold <= 0 && h("span", { class: "view-badge-warn" }, t("view.liking.wrongly"));

  /** @param {"reward" | "gold"} name @param {number} value @param {number} limit */
  const bar = (name, value, limit) => {
    const share = value / limit;
    return h(
      "div",
      { class: "view-liking-bar" },
      h("span", { class: "view-hidden" }, t(`view.liking.${name}`)),
      h(
        "span",
        { class: "view-liking-track", "aria-hidden": "true" },
        styled(h("span", { class: `view-liking-fill view-fill-${name}` }), {
          "--from": share < 0 ? 0.5 + share / 2 : 0.5,
          "--size": Math.abs(share) / 2,
        }),
      ),
      h("span", { class: "view-number" }, signed(value)),
    );
  };

  return redrawn(root, { t, name: "liking", draw });
}
