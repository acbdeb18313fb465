// @ts-check
// Building elements without ever parsing a string: whatever a model or a visitor wrote stays text.

/** @import { Translate } from "./types.js" */
/** @typedef {Node | string | number | null | undefined | false} Child */

const SVG = "http://www.w3.org/2000/svg";

/**
 * An HTML element. Functions among the attributes are event handlers, `true` is an empty attribute, `null` and `false` are left out.
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag @param {Record<string, any>} [attributes] @param {...Child} children
 * @returns {HTMLElementTagNameMap[K]}
 */
export function h(tag, attributes, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/**
 * An SVG element.
 * @template {keyof SVGElementTagNameMap} K
 * @param {K} tag @param {Record<string, any>} [attributes] @param {...Child} children
 * @returns {SVGElementTagNameMap[K]}
 */
export function s(tag, attributes, ...children) {
  return /** @type {SVGElementTagNameMap[K]} */ (fill(document.createElementNS(SVG, tag), attributes, children));
}

/**
 * @template {Element} E
 * @param {E} element @param {Record<string, any> | undefined} attributes @param {Child[]} children @returns {E}
 */
function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === "function") element.addEventListener(name.replace(/^on/, ""), value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  for (const child of children) {
    if (child !== null && child !== undefined && child !== false) element.append(child instanceof Node ? child : String(child));
  }
  return element;
}

/**
 * Sets custom properties; a style attribute would be against the page's content security policy.
 * @template {HTMLElement} E
 * @param {E} element @param {Record<string, string | number>} properties @returns {E}
 */
export function styled(element, properties) {
  for (const [name, value] of Object.entries(properties)) element.style.setProperty(name, String(value));
  return element;
}

let ids = 0;
/** An id that no other element of the page has. @param {string} stem */
export function freshId(stem) {
  ids += 1;
  return `view-${stem}-${ids}`;
}

/**
 * A view that is drawn anew from whatever it was last given. Focus goes to the new element with the same `data-keep`.
 * @template D
 * @param {HTMLElement} root
 * @param {{t: Translate, name: string, draw: (data: D, relabelled: boolean) => Child[]}} parts `view.<name>.empty` says what will
 * appear here; after `relabelled` the theme may be another one
 */
export function redrawn(root, { t, name, draw }) {
  /** @type {D | null} */
  let data = null;
  root.classList.add("view", `view-${name}`);
  const render = (/** @type {boolean} */ relabelled) => {
    const focused = document.activeElement;
    const keep = focused && root.contains(focused) ? focused.getAttribute("data-keep") : null;
    const children = data === null ? [empty(t, name)] : draw(data, relabelled);
    root.replaceChildren(...children.filter((child) => child instanceof Node));
    if (keep !== null) refocus(root, keep);
  };
  render(true);
  return {
    /** @param {D | null} next */
    update(next) {
      data = next;
      render(false);
    },
    relabel: () => render(true),
  };
}

/** What had focus may be gone; then the view takes it, or the keyboard would start again at the top of the page. @param {HTMLElement} root @param {string} keep */
function refocus(root, keep) {
  const kept = root.querySelector(`[data-keep="${CSS.escape(keep)}"]`);
  if (!kept) root.tabIndex = -1;
  /** @type {HTMLElement} */ (kept ?? root).focus({ preventScroll: true });
}

/** The honest empty state. @param {Translate} t @param {string} name */
export function empty(t, name) {
  return h("p", { class: "view-empty" }, t(`view.${name}.empty`));
}

/**
 * A box that calls `draw` with its width at first and whenever that changes.
 * @param {(width: number) => Node} draw @returns {HTMLElement}
 */
export function sized(draw) {
  const box = h("div", { class: "view-sized" });
  let drawn = 0;
  new ResizeObserver(() => {
    const width = Math.floor(box.clientWidth);
    if (width === 0 || width === drawn) return;
    drawn = width;
    box.replaceChildren(draw(width));
  }).observe(box);
  return box;
}

/**
 * A table that becomes a list of cards where it is too narrow; the roles stay whatever CSS makes of it.
 * @param {{caption: string, columns: string[], rows: Child[][], quiet?: boolean}} table
 */
export function table({ caption, columns, rows, quiet }) {
  const cell = (/** @type {Child} */ content, /** @type {number} */ i) =>
    h(i === 0 ? "th" : "td", { role: i === 0 ? "rowheader" : "cell", scope: i === 0 ? "row" : null, "data-label": columns[i] }, content);
  return h(
    "table",
    { class: "view-table", role: "table" },
    h("caption", { class: quiet ? "view-hidden" : null }, caption),
    h(
      "thead",
      { role: "rowgroup" },
      h("tr", { role: "row" }, ...columns.map((column) => h("th", { role: "columnheader", scope: "col" }, column))),
    ),
    h("tbody", { role: "rowgroup" }, ...rows.map((row) => h("tr", { role: "row" }, ...row.map(cell)))),
  );
}

/** Words that are keys are translated, others are taken as they are. @param {Translate} t @param {string} text */
export function say(t, text) {
  return /^[a-z]\w*(\.[\w-]+)+$/.test(text) ? t(text) : text;
}
