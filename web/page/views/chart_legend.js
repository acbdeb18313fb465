// @ts-check
// The words beside a chart: which line is which, all values at one step, and a summary for those who cannot see the lines.

import { h, s } from "./dom.js";
import { short } from "./format.js";
import { extent } from "./scales.js";

/** @import { Translate } from "./types.js" */
/** @typedef {{name: string, color: number, dash: number[]}} Line */
/** @typedef {{lines: Line[], steps: number[], columns: (number | null)[][]}} Drawn */

/** @param {Translate} t */
export function createLegend(t) {
  const list = h("ul", { class: "view-legend" });
  const when = h("span", { class: "view-quiet view-number" });
  /** @type {HTMLElement[]} */
  let outputs = [];
  return {
    list,
    when,
    /** @param {Line[]} lines */
    name(lines) {
      outputs = lines.map(() => h("b", { class: "view-number" }));
      list.replaceChildren(...lines.map((line, i) => h("li", {}, sample(line), h("span", {}, line.name), outputs[i])));
    },
    /** Values at `index`, or each line's last. @param {Drawn} drawn @param {number | null} index */
    show({ steps, columns }, index) {
      when.textContent = index === null ? t("view.chart.latest", { n: steps.at(-1) ?? 0 }) : t("view.step", { n: steps[index] });
      outputs.forEach((output, i) => {
        output.textContent = short(index === null ? lastOf(columns[i]) : columns[i][index]);
      });
    },
  };
}

/** All values at one step in a sentence. @param {Translate} t @param {Drawn} drawn @param {number} index */
export function spoken(t, { lines, steps, columns }, index) {
  return [t("view.step", { n: steps[index] }), ...lines.map((line, i) => `${line.name} ${short(columns[i][index])}`)].join(", ");
}

/** First, last, least and greatest value of every line. @param {Translate} t @param {Drawn} drawn */
export function summary(t, { lines, columns }) {
  return lines
    .map((line, i) => {
      const [low, high] = extent(columns[i]);
      const first = columns[i].find((value) => value !== null);
      return t("view.chart.summary", {
        name: line.name,
        first: short(first),
        last: short(lastOf(columns[i])),
        low: short(low),
        high: short(high),
      });
    })
    .join(" ");
}

/** @param {Line} line */
function sample({ color, dash }) {
  return s(
    "svg",
    { class: `view-line-sample view-ink-${color}`, viewBox: "0 0 32 10", "aria-hidden": "true" },
    s("path", { d: "M1 5H31", "stroke-dasharray": dash.join(" ") || null }),
  );
}

/** @param {(number | null)[]} column */
function lastOf(column) {
  return column.findLast((value) => value !== null);
}
