// @ts-check
// What stations are built of: panels, charts and views that are drawn anew only when what they show has changed.

import { t, words } from "./i18n.js";
import { h } from "./views/dom.js";
import { createAnswers } from "./views/answers.js";
import { createChart } from "./views/chart.js";
import { withNames } from "./names.js";
import { at } from "./selectors.js";

/** @import { Child } from "./views/dom.js" */
/** @import { Run, State } from "./state.js" */
/** @import { Store } from "./store.js" */
/** @typedef {{update(data: any): void, relabel(): void}} View */
/** @typedef {(root: HTMLElement, options: any) => View} Create */
/**
 * @typedef {object} App what every part of the page is given
 * @property {Store} store
 * @property {(command: Record<string, any>) => void} send
 * @property {import("./conductor.js").Conductor} conductor
 * @property {import("./settings.js").Settings} settings
 */

/** Counts changes of language and theme, after each of which everything is drawn anew. */
let edition = 0;

/** @param {Store} store */
export function redraw(store) {
  edition += 1;
  store.redraw();
}

/**
 * A view that is drawn whenever one of the things that `parts` picks is another than before.
 * @param {App} app @param {Create} create @param {Record<string, any>} options
 * @param {(state: State) => any[]} parts @param {(...parts: any[]) => any} data what the view is updated with
 */
export function live({ store }, create, options, parts, data) {
  const root = h("div");
  const view = create(root, { t, ...options });
  let said = edition;
  whenChanged(store, root, parts, (...picked) => {
    if (said !== edition) view.relabel();
    said = edition;
    view.update(data(...picked) ?? null);
  }, true);
  return root;
}

/** A chart of the runs that `parts` and `data` give. @param {App} app @param {string} title @param {[metric: string, label: string][]} series @param {string} group @param {(state: State) => any[]} parts @param {(...parts: any[]) => any[]} data @param {"peak"} [marker] */
export function chart(app, title, series, group, parts, data, marker) {
  const root = live(app, createChart, { title, series: series.map(([metric, label]) => ({ metric, label })), group, marker }, parts, (...picked) => withNames(data(...picked)));
  return h("div", { class: "panel chart" }, root);
}

/** What the run that `pick` gives answered at first and now. @param {App} app @param {(state: State) => Run | null | undefined} pick */
export function answersOf(app, pick) {
  return live(
    app,
    createAnswers,
    {},
    (state) => [pick(state)?.answers],
    (/** @type {Run["answers"]} */ list = []) => {
      const now = at(list, null);
      return now && { before: now === list[0] ? null : list[0].rows, now: now.rows, step: now.step };
    },
  );
}

/**
 * Calls `draw` when one of the things that `parts` picks has changed, or language or theme; `lazily`: only while `element` is on screen.
 * @param {Store} store @param {Element} element @param {(state: State) => any[]} parts @param {(...parts: any[]) => void} draw @param {boolean} [lazily]
 */
export function whenChanged(store, element, parts, draw, lazily = false) {
  /** @type {any[]} */
  let drawn = [];
  const changed = (/** @type {State} */ state) => {
    const picked = [edition, ...parts(state)];
    if (picked.length === drawn.length && picked.every((part, i) => Object.is(part, drawn[i]))) return;
    drawn = picked;
    draw(...picked.slice(1));
  };
  store.watch(element, changed, !lazily);
}

/** A box with a heading. @param {string} title @param {...Child} children */
export function panel(title, ...children) {
  return h("section", { class: "panel" }, words(h("h3"), title), ...children);
}

/** As {@link panel}, over the whole width. @param {string} title @param {...Child} children */
export function widePanel(title, ...children) {
  const box = panel(title, ...children);
  box.classList.add("wide");
  return box;
}

/** @param {...Child} children */
export function grid(...children) {
  return h("div", { class: "grid" }, ...children);
}

/** @param {string} key @param {() => void} click @param {Record<string, any>} [attributes] */
export function button(key, click, attributes = {}) {
  return words(h("button", { type: "button", click, ...attributes }), key);
}

/** A control with its label above it. @param {string} key @param {HTMLElement} control @param {...Child} more */
export function field(key, control, ...more) {
  return h("label", { class: "field" }, words(h("span", { class: "field-label" }), key), control, ...more);
}

/** A box to tick. @param {string} key @param {(checked: boolean) => void} changed @param {Record<string, any>} [attributes] */
export function tick(key, changed, attributes = {}) {
  const box = h("input", { type: "checkbox", ...attributes, change: () => changed(box.checked) });
  return h("label", { class: "tick" }, box, words(h("span"), key));
}

/** Puts `element` under the name by which a teacher can hide it. @template {HTMLElement} E @param {string} control @param {E} element */
export function named(control, element) {
  element.dataset.control = control;
  return element;
}

/** Gives a select its options, keeping what is chosen if it is still there. @param {HTMLSelectElement} select @param {[value: string, label: string][]} options */
export function setOptions(select, options) {
  const same = options.length === select.options.length && options.every(([value, label], i) => select.options[i].value === value && select.options[i].text === label);
  if (same) return;
  const chosen = select.value;
  select.replaceChildren(...options.map(([value, label]) => h("option", { value }, label)));
  if (options.some(([value]) => value === chosen)) select.value = chosen;
}
