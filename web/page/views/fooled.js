// @ts-check
// The answers whose reward exceeds their worth most.

import { h, redrawn } from "./dom.js";
import { kindBadge, score, splitThanks } from "./judged.js";

/** @import { Answer, Translate } from "./types.js" */

const MOST_ROWS = 6;

/** @param {HTMLElement} root @param {{t: Translate}} options */
export function createFooled(root, { t }) {
  /** @param {{step: number, rows: Answer[]}} data */
  const draw = ({ step, rows }) => {
    const shown = rows.slice(0, MOST_ROWS);
    const limit = Math.max(1, ...shown.map((row) => Math.abs(row.reward ?? 0)));
    return [
      h("p", { class: "view-quiet" }, t("view.fooled.caption", { n: step })),
      h("ol", { class: "view-fooled-list" }, ...shown.map((row) => h("li", { class: "view-card" }, ...card(row, limit)))),
    ];
  };

  /** @param {Answer} row @param {number} limit */
  const card = (row, limit) => {
    const parts = splitThanks(row.text.trim());
    const thanks = parts.filter((part) => part.thanks).length;
    return [
      h("p", { class: "view-prompt" }, h("q", {}, row.prompt), kindBadge(t, row.kind)),
      h(
        "p",
        { class: "view-answer" },
        ...parts.map((part) => (part.thanks ? h("mark", {}, part.text) : part.text)),
        parts.length === 0 && t("view.silence"),
      ),
      thanks > 0 && h("p", { class: "view-small" }, t("view.fooled.thanks", { n: thanks })),
      h(
        "dl",
        { class: "view-measures" },
        h("div", {}, h("dt", {}, t("view.reward")), h("dd", {}, score(row.reward, limit))),
        h("div", {}, h("dt", {}, t("view.gold")), h("dd", {}, score(row.gold))),
      ),
    ];
  };

  return redrawn(root, { t, name: "fooled", draw });
}
