// @ts-check
// Every model on the same held-out prompts: its measures, its answers side by side, and what it cost.

import { freshId, h, redrawn, table } from "./dom.js";
import { duration, fixed, grouped, mebibytes, percent } from "./format.js";
import { kindBadge, modelName, score, shareBar } from "./judged.js";

/** @import { Comparison, Cost, SampleRow, Translate } from "./types.js" */

const MEASURES = /** @type {const} */ (["gold", "helpful", "harmless", "honest", "reward", "kl", "thanks", "tokens"]);

/** @param {HTMLElement} root @param {{t: Translate}} options */
export function createCompare(root, { t }) {
  const select = freshId("prompt");
  let chosen = 0;

  /** @param {{rows: Comparison[], samples: SampleRow[], costs: Cost[]}} data */
  const draw = ({ rows, samples, costs }) =>
    [
      rows.length > 0 && measures(rows),
      rows.length === 0 && costs.length === 0 && h("p", { class: "view-empty" }, t("view.compare.empty")),
      samples.length > 0 && sideBySide(samples),
      costs.length > 0 && spent(costs),
    ].filter((part) => part !== false);

  /** @param {Comparison[]} rows */
  const measures = (rows) =>
    table({
      caption: t("view.compare.caption"),
      columns: [t("view.compare.model"), ...MEASURES.map((name) => t(`view.compare.${name}`))],
      rows: rows.map((row) => [modelName(t, row.model), ...MEASURES.map((name) => measure(name, row[name]))]),
    });

  /** @param {typeof MEASURES[number]} name @param {number} value */
  const measure = (name, value) => {
    if (name === "gold") return score(value);
    if (name === "helpful" || name === "harmless" || name === "honest") return shareBar(value, percent(value));
    return h("span", { class: "view-number" }, fixed(value, name === "tokens" ? 1 : 2));
  };

  /** @param {SampleRow[]} samples */
  const sideBySide = (samples) => {
    const shown = samples[Math.min(chosen, samples.length - 1)];
    const choose = (/** @type {Event} */ event) => {
      chosen = /** @type {HTMLSelectElement} */ (event.currentTarget).selectedIndex;
      view.relabel();
    };
    return h(
      "section",
      { class: "view-side", "aria-label": t("view.compare.samples") },
      h(
        "p",
        { class: "view-row" },
        h("label", { for: select }, t("view.compare.prompt")),
        h(
          "select",
          { id: select, class: "view-select", "data-keep": "prompt", change: choose },
          ...samples.map((row, i) => h("option", { selected: row === shown, value: i }, row.prompt)),
        ),
        kindBadge(t, shown.kind),
      ),
      h(
        "ul",
        { class: "view-side-list" },
        ...shown.answers.map(([model, answer, gold]) =>
          h(
            "li",
            { class: "view-card" },
            h("b", {}, modelName(t, model)),
            h("p", { class: "view-answer" }, answer.trim() || t("view.silence")),
            h("p", { class: "view-row" }, h("span", { class: "view-quiet" }, t("view.gold")), score(gold)),
          ),
        ),
      ),
    );
  };

  /** @param {Cost[]} costs */
  const spent = (costs) => {
    const longest = Math.max(...costs.map((cost) => cost.seconds), 1e-9);
    return table({
      caption: t("view.compare.costs"),
      columns: ["stage", "seconds", "steps", "tokens_all", "memory"].map((name) => t(`view.compare.${name}`)),
      rows: costs.map((cost) => [
        modelName(t, cost.stage),
        shareBar(cost.seconds / longest, duration(t, cost.seconds)),
        h("span", { class: "view-number" }, grouped(cost.steps)),
        h("span", { class: "view-number" }, grouped(cost.tokens)),
        h("span", { class: "view-number" }, mebibytes(cost.bytes)),
      ]),
    });
  };

  const view = redrawn(root, { t, name: "compare", draw });
  return view;
}
