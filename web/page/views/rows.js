// @ts-check
// Training rows as the trainer sees them: which tokens are trained on.

import { h, redrawn } from "./dom.js";
import { visible } from "./tokens.js";

/** @import { Token, Translate } from "./types.js" */

const MOST_ROWS = 8;
const MOST_TOKENS = 200;

/** @param {HTMLElement} root @param {{t: Translate}} options */
export function createRows(root, { t }) {
  /** @param {Token[][]} rows */
  const draw = (rows) => [
    h(
      "p",
      { class: "view-row view-key" },
      h("span", { class: "view-row-token view-row-trained" }, t("view.rows.trained")),
      h("span", { class: "view-row-token" }, t("view.rows.prompt")),
    ),
    h("ol", { class: "view-rows" }, ...rows.slice(0, MOST_ROWS).map((row) => h("li", {}, ...row.slice(0, MOST_TOKENS).map(token)))),
    h("p", { class: "view-note" }, t("view.rows.about", { trained: count(rows, true), all: count(rows, true) + count(rows, false) })),
  ];

  /** @param {Token} token */
  const token = ({ text, trained }) =>
    h(trained ? "em" : "span", { class: `view-row-token${trained ? " view-row-trained" : ""}` }, visible(text));

  return redrawn(root, { t, name: "rows", draw });
}

/** @param {Token[][]} rows @param {boolean} trained */
function count(rows, trained) {
  return rows.flat().filter((token) => token.trained === trained).length;
}
