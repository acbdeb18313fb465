// @ts-check
// The reward model's scores of chosen and rejected answers, one histogram over the other.

import { freshId, h, redrawn, s, sized } from "./dom.js";
import { fixed, percent, tick } from "./format.js";
import { extent, histogram, linear, shareRankedRightly, ticks } from "./scales.js";

/** @import { Translate } from "./types.js" */

const HEIGHT = 220;
const MARGIN = { top: 8, right: 12, bottom: 38, left: 40 };
const SIDES = /** @type {const} */ (["chosen", "rejected"]);

/** @param {HTMLElement} root @param {{t: Translate}} options */
export function createHistogram(root, { t }) {
  const hatch = freshId("hatch");

  /** @param {{step: number, chosen: number[], rejected: number[]}} data */
  const draw = (data) => {
    const right = shareRankedRightly(data.chosen, data.rejected);
    const pairs = Math.min(data.chosen.length, data.rejected.length);
    const sentence = t("view.histogram.right", { share: percent(right), pairs });
    return [
      h("p", { class: "view-headline" }, h("b", {}, percent(right)), " ", t("view.histogram.rightly", { pairs })),
      h(
        "p",
        { class: "view-row view-key" },
        ...SIDES.map((side) => key(side, mean(data[side]))),
        h("span", { class: "view-quiet" }, t("view.step", { n: data.step })),
      ),
      sized((width) => picture(data, width, sentence)),
    ];
  };

  /** @param {"chosen" | "rejected"} side @param {number} average */
  const key = (side, average) =>
    h(
      "span",
      {},
      swatch(side),
      t(`view.histogram.${side}`),
      " ",
      h("span", { class: "view-quiet" }, t("view.histogram.mean", { mean: fixed(average) })),
    );

  /** @param {"chosen" | "rejected"} side */
  const swatch = (side) =>
    s(
      "svg",
      { class: "view-swatch", viewBox: "0 0 16 16", "aria-hidden": "true" },
      s("rect", { width: 16, height: 16, class: `view-histogram-${side}`, fill: fill(side) }),
    );

  /** @param {"chosen" | "rejected"} side */
  const fill = (side) => (side === "rejected" ? `url(#${hatch})` : null);

  /** @param {{chosen: number[], rejected: number[]}} data @param {number} width @param {string} label */
  const picture = (data, width, label) => {
    const domain = extent([...data.chosen, ...data.rejected]);
    const count = Math.max(8, Math.min(24, Math.floor(width / 28)));
    const bins = SIDES.map((side) => histogram(data[side], domain, count));
    const most = Math.max(1, ...bins.flat());
    const x = linear(domain, [MARGIN.left, width - MARGIN.right]);
    const y = linear([0, most], [HEIGHT - MARGIN.bottom, MARGIN.top]);
    const step = (domain[1] - domain[0]) / count;
    const bars = SIDES.map((side, k) =>
      s(
        "g",
        { class: `view-histogram-${side}`, fill: fill(side) },
        ...bins[k].map(
          (size, i) =>
            size > 0 &&
            s("rect", {
              x: x(domain[0] + i * step) + 0.5,
              width: Math.max(1, x(domain[0] + step) - x(domain[0]) - 1),
              y: y(size),
              height: y(0) - y(size),
            }),
        ),
      ),
    );
    const means = SIDES.map((side) => {
      const at = x(mean(data[side]));
      return s("line", { class: `view-histogram-mean view-histogram-${side}`, x1: at, x2: at, y1: MARGIN.top, y2: y(0) });
    });
    return s(
      "svg",
      { role: "img", "aria-label": label, width, height: HEIGHT, class: "view-figure" },
      pattern(),
      axes(x, y, domain, most, width),
      ...bars,
      ...means,
    );
  };

  const pattern = () =>
    s(
      "defs",
      {},
      s(
        "pattern",
        { id: hatch, width: 6, height: 6, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)" },
        s("rect", { width: 6, height: 6, class: "view-hatch-ground" }),
        s("rect", { width: 2.5, height: 6, class: "view-hatch-line" }),
      ),
    );

  /** @param {(value: number) => number} x @param {(value: number) => number} y @param {[number, number]} domain @param {number} most @param {number} width */
  const axes = (x, y, domain, most, width) => {
    const across = ticks(domain, width / 80);
    const up = ticks([0, most], 4);
    return s(
      "g",
      { class: "view-axes" },
      ...up.values.map((value) => s("line", { x1: MARGIN.left, x2: width - MARGIN.right, y1: y(value), y2: y(value) })),
      ...up.values.map((value) => s("text", { x: MARGIN.left - 6, y: y(value) + 4, "text-anchor": "end" }, tick(value, up.gap))),
      ...across.values.map((value) =>
        s("text", { x: x(value), y: HEIGHT - MARGIN.bottom + 16, "text-anchor": "middle" }, tick(value, across.gap)),
      ),
      s("text", { x: (MARGIN.left + width - MARGIN.right) / 2, y: HEIGHT - 4, "text-anchor": "middle" }, t("view.histogram.axis")),
    );
  };

  return redrawn(root, { t, name: "histogram", draw });
}

/** @param {number[]} values */
function mean(values) {
  return values.reduce((sum, value) => sum + value, 0) / Math.max(1, values.length);
}
