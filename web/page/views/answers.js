// @ts-check
// The same prompts answered before training and now.

import { h, redrawn, table } from "./dom.js";
import { kindBadge, score } from "./judged.js";
import { signed } from "./format.js";

/** @import { Answer, Translate } from "./types.js" */

const MOST_ROWS = 24;

/** @param {HTMLElement} root @param {{t: Translate}} options */
export function createAnswers(root, { t }) {
  /** @param {{before: Answer[] | null, now: Answer[], step: number}} data */
  const draw = ({ before, now, step }) => {
    const earlier = new Map((before ?? []).map((answer) => [answer.prompt, answer]));
    const rewarded = now.some((answer) => answer.reward !== undefined);
    const columns = [
      t("view.answers.prompt"),
      t("view.answers.kind"),
      before && t("view.answers.before"),
      t("view.answers.now"),
      t("view.gold"),
      rewarded && t("view.reward"),
    ];
    const rows = now
      .slice(0, MOST_ROWS)
      .map((answer) => [
        h("span", { class: "view-text" }, answer.prompt),
        kindBadge(t, answer.kind),
        before && h("span", { class: "view-text view-quiet" }, spoken(earlier.get(answer.prompt))),
        h("span", { class: "view-text" }, spoken(answer)),
        judged(answer, earlier.get(answer.prompt)),
        rewarded && h("span", { class: "view-number" }, signed(answer.reward)),
      ]);
    return [
      table({
        caption: t("view.answers.caption", { n: step }),
        columns: columns.filter((column) => typeof column === "string"),
        rows: rows.map((row) => row.filter((cell) => cell !== null && cell !== false)),
      }),
    ];
  };

  /** @param {Answer | undefined} answer */
  const spoken = (answer) => (answer ? answer.text.trim() || t("view.silence") : "–");

  /** Gold now, and where it came from. @param {Answer} answer @param {Answer | undefined} earlier */
  const judged = (answer, earlier) =>
    h(
      "span",
      { class: "view-judged" },
      score(answer.gold),
      earlier && h("span", { class: "view-quiet view-small" }, t("view.answers.was", { gold: signed(earlier.gold) })),
    );

  return redrawn(root, { t, name: "answers", draw });
}
