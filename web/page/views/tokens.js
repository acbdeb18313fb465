// @ts-check
// An answer as a strip of coloured tokens that can be walked through with the arrow keys, and the legend of its colours.

import { css, diverging, inkOn, parse, resolved } from "./colour.js";
import { freshId, h, styled } from "./dom.js";

/**
 * @typedef {object} Cell
 * @property {string} text the token
 * @property {string} number as shown beneath it
 * @property {number | null} tone its place on the diverging scale; null: not known yet
 * @property {string} detail what is said of it when it is pointed at or has focus
 * @property {string} [mark] a word that sets this cell apart
 */

/**
 * @param {object} strip
 * @param {string} strip.label
 * @param {Cell[]} strip.cells
 * @param {number} strip.limit the tone at which the colours are strongest
 * @param {import("./colour.js").Rgb} strip.middle the colour of tone 0
 * @param {string} strip.keep prefix of the cells' `data-keep`
 */
export function tokenStrip({ label, cells, limit, middle, keep }) {
  const buttons = cells.map((cell, i) => {
    const button = h(
      "button",
      {
        type: "button",
        class: `view-token${cell.mark ? " view-token-marked" : ""}${cell.tone === null ? " view-token-pending" : ""}`,
        tabindex: i === 0 ? 0 : -1,
        "data-detail": cell.detail,
        "data-keep": `${keep}-${i}`,
      },
      h("span", { class: "view-token-text" }, visible(cell.text)),
      " ",
      h("span", { class: "view-token-number" }, cell.number),
      " ",
      cell.mark && h("span", { class: "view-token-mark" }, cell.mark),
    );
    if (cell.tone === null) return button;
    const background = diverging(cell.tone, limit, middle);
    return styled(button, { "--cell": css(background), "--cell-ink": css(inkOn(background)) });
  });
  return h("div", { class: "view-strip", role: "group", "aria-label": label, keydown: walk, focusin: rove }, ...buttons);
}

/** A line about the cell last pointed at or focused, which also holds when the cells are drawn anew. */
export function createDetail() {
  const id = freshId("detail");
  let seen = "";
  /** @param {import("./dom.js").Child[]} children the strips @param {string} hint what the line says at first */
  return (children, hint) => {
    const line = h("p", { class: "view-detail", id });
    const show = () => {
      line.textContent = box.querySelector(`[data-keep="${seen}"]`)?.getAttribute("data-detail") ?? hint;
    };
    const see = (/** @type {Event} */ event) => {
      const cell = /** @type {Element} */ (event.target).closest(".view-token");
      if (!cell) return;
      seen = cell.getAttribute("data-keep") ?? "";
      show();
    };
    const box = h("div", { class: "view-strips", focusin: see, mouseover: see }, ...children, line);
    for (const cell of box.querySelectorAll(".view-token")) cell.setAttribute("aria-describedby", id);
    show();
    return box;
  };
}

/** The colours' legend: low end, middle, high end. @param {import("./colour.js").Rgb} middle @param {[string, string, string]} ends @param {string} label */
export function scaleLegend(middle, ends, label) {
  const stops = [-1, -0.5, -0.2, 0, 0.2, 0.5, 1].map((tone) => css(diverging(tone, 1, middle)));
  const bar = styled(h("span", { class: "view-scale-bar" }), { "--stops": stops.join(", ") });
  return h(
    "div",
    { class: "view-scale" },
    h("span", { class: "view-scale-label" }, label),
    h("span", { class: "view-scale-picture" }, bar, h("span", { class: "view-scale-ends" }, ...ends.map((end) => h("span", {}, end)))),
  );
}

/** The middle of the scale in the present theme. @param {HTMLElement} root */
export function middleColour(root) {
  return parse(resolved(root, "--panel"));
}

/** A token as something that can be seen. @param {string} text */
export function visible(text) {
  if (text === "") return "∅";
  const shown = text.replaceAll("\n", "⏎").replaceAll("\t", "⇥");
  return shown.trim() === "" ? "␣".repeat(shown.length) : shown.trim();
}

/** One cell of a strip takes part in the tab order: the one last seen. @param {FocusEvent} event */
function rove(event) {
  const strip = /** @type {HTMLElement} */ (event.currentTarget);
  for (const cell of strip.children) cell.setAttribute("tabindex", cell === event.target ? "0" : "-1");
}

/** @param {KeyboardEvent} event */
function walk(event) {
  const strip = /** @type {HTMLElement} */ (event.currentTarget);
  const at = [...strip.children].indexOf(/** @type {Element} */ (event.target));
  const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: strip.children.length - 1 }[event.key];
  let next = to === undefined ? undefined : strip.children[to];
  if (event.key === "ArrowDown" || event.key === "ArrowUp") {
    const strips = [...(strip.closest(".view")?.querySelectorAll(".view-strip") ?? [])];
    const neighbour = strips[strips.indexOf(strip) + (event.key === "ArrowDown" ? 1 : -1)];
    next = neighbour?.children[Math.min(at, neighbour.children.length - 1)];
  }
  if (next instanceof HTMLElement) {
    event.preventDefault();
    next.focus();
  }
}
