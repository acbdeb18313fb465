// @ts-check
// A formula of the chapter, and beneath it the same with this moment's numbers.

import { h } from "./dom.js";
import { substituted } from "./formula_numbers.js";
import { FORMULAS } from "./formulas.js";
import { math } from "./mathml.js";

/** @import { Metrics, Translate } from "./types.js" */

/** @param {HTMLElement} root @param {{t: Translate, name: import("./formulas.js").Name}} options */
export function createFormula(root, { t, name }) {
  /** @type {Metrics | null} */
  let metrics = null;
  root.classList.add("view", "view-formula");

  const relabel = () => {
    const said = metrics ? substituted(name, metrics) : [];
    const now =
      said.length > 0
        ? said.map((line) => h("li", {}, scrollable(math(...line.pieces)), h("span", { class: "view-small" }, t(line.note, line.params))))
        : [h("li", { class: "view-empty" }, t("view.formula.empty"))];
    root.replaceChildren(
      h(
        "figure",
        {},
        h("figcaption", {}, t(`view.formula.name.${name}`)),
        scrollable(math(...FORMULAS[name]())),
        h("p", { class: "view-small" }, ...subscripts(t(`view.formula.where.${name}`))),
      ),
      h("ul", { class: "view-formula-now", "aria-label": t("view.formula.now") }, ...now),
    );
  };
  relabel();
  return {
    /** @param {Metrics | null} next */
    update(next) {
      metrics = next;
      relabel();
    },
    relabel,
  };
}

/** Formulas do not wrap: what is too wide scrolls. @param {Node} formula */
function scrollable(formula) {
  return h("div", { class: "view-formula-box" }, formula);
}

/** "y_w" as people write it. @param {string} text */
function subscripts(text) {
  return text.split(/(_[A-Za-zθ]+)/).map((part) => (part.startsWith("_") ? h("sub", {}, part.slice(1)) : part));
}
