// @ts-check
// Reward against distance: what every β buys, and at what KL. Proxy (the reward model) and gold (the truth) of each run.

import { h, redrawn, s, sized, table } from "./dom.js";
import { fixed, tick } from "./format.js";
import { betaName } from "./judged.js";
import { extent, linear, spread, ticks } from "./scales.js";

/** @import { Run, Translate } from "./types.js" */
/** @typedef {{step: number, kl: number, proxy: number, gold: number}} Point */
/** @typedef {{name: string, color: number, label: string, points: Point[]}} Trail */

const MARGIN = { top: 12, right: 84, bottom: 42, left: 46 };
const LABEL_GAP = 16;
/** More dots than this hide the line that they sit on. */
const MOST_DOTS = 60;
const KINDS = /** @type {const} */ (["proxy", "gold"]);

/** @param {HTMLElement} root @param {{t: Translate}} options */
export function createTradeoff(root, { t }) {
  /** @param {Run[]} runs */
  const draw = (runs) => {
    const trails = runs.map(trail).filter((each) => each.points.length > 0);
    if (trails.length === 0) return [h("p", { class: "view-empty" }, t("view.tradeoff.empty"))];
    return [
      h("p", { class: "view-row view-key" }, ...KINDS.map((kind) => h("span", {}, sample(kind), t(`view.tradeoff.${kind}`)))),
      sized((width) => picture(trails, width)),
      h("p", { class: "view-note" }, t("view.tradeoff.about")),
      h("div", { class: "view-hidden" }, ends(trails)),
    ];
  };

  /** @param {"proxy" | "gold"} kind */
  const sample = (kind) =>
    s(
      "svg",
      { class: "view-line-sample", viewBox: "0 0 32 10", "aria-hidden": "true" },
      s("path", { d: "M0 5H32", class: `view-trail-${kind}` }),
      dot(kind, 16, 5),
    );

  /** @param {Trail[]} trails @param {number} width */
  const picture = (trails, width) => {
    const height = Math.round(Math.max(260, Math.min(420, width * 0.55)));
    const points = trails.flatMap((each) => each.points);
    const far = Math.max(0.5, ...points.map((point) => point.kl));
    const [low, high] = extent(points.flatMap((point) => [point.proxy, point.gold]));
    const pad = (high - low || 1) * 0.06;
    const x = root2(linear([0, Math.sqrt(far)], [MARGIN.left, width - MARGIN.right]));
    const y = linear([low - pad, high + pad], [height - MARGIN.bottom, MARGIN.top]);
    const labels = trails.flatMap((each) => KINDS.map((kind) => ({ each, kind, point: each.points[each.points.length - 1] })));
    const places = spread(
      labels.map(({ point, kind }) => y(point[kind]) + 4),
      LABEL_GAP,
      [MARGIN.top + 8, height - MARGIN.bottom],
    );
    return s(
      "svg",
      { role: "img", "aria-label": t("view.tradeoff.label", { n: trails.length }), width, height, class: "view-figure" },
      axes(x, y, far, [low - pad, high + pad], width, height),
      ...trails.flatMap((each) => KINDS.map((kind) => line(each, kind, x, y))),
      ...labels.map(({ each, kind, point }, i) =>
        s(
          "text",
          { x: Math.min(x(point.kl) + 9, width - MARGIN.right + 9), y: places[i], class: "view-trail-name" },
          s("tspan", { class: `view-ink-${each.color}` }, "● "),
          kind === "proxy" ? each.label : t("view.tradeoff.gold_short"),
        ),
      ),
    );
  };

  /** @param {Trail} each @param {"proxy" | "gold"} kind @param {(value: number) => number} x @param {(value: number) => number} y */
  const line = (each, kind, x, y) => {
    const path = each.points.map((point, i) => `${i === 0 ? "M" : "L"}${x(point.kl).toFixed(1)} ${y(point[kind]).toFixed(1)}`).join("");
    const every = Math.ceil(each.points.length / MOST_DOTS);
    const dots = each.points.filter((_, i) => i % every === 0 || i === each.points.length - 1);
    return s(
      "g",
      { class: `view-ink-${each.color}` },
      s("path", { d: path, class: `view-trail-${kind}` }),
      ...dots.map((point) => s("g", {}, dot(kind, x(point.kl), y(point[kind])), s("title", {}, described(each, kind, point)))),
    );
  };

  /** @param {Trail} each @param {"proxy" | "gold"} kind @param {Point} point */
  const described = (each, kind, point) =>
    t("view.tradeoff.point", {
      name: each.name,
      n: point.step,
      kl: fixed(point.kl),
      kind: t(`view.tradeoff.${kind}`),
      value: fixed(point[kind]),
    });

  /** @param {(v: number) => number} x @param {(v: number) => number} y @param {number} far @param {[number, number]} domain @param {number} width @param {number} height */
  const axes = (x, y, far, domain, width, height) => {
    const up = ticks(domain, 5);
    const across = roots(far, width / 110);
    const bottom = height - MARGIN.bottom;
    return s(
      "g",
      { class: "view-axes" },
      ...up.values.map((value) => s("line", { x1: MARGIN.left, x2: width - MARGIN.right, y1: y(value), y2: y(value) })),
      ...up.values.map((value) => s("text", { x: MARGIN.left - 7, y: y(value) + 4, "text-anchor": "end" }, tick(value, up.gap))),
      ...across.map((value) => s("line", { x1: x(value), x2: x(value), y1: bottom, y2: MARGIN.top })),
      ...across.map((value) => s("text", { x: x(value), y: bottom + 17, "text-anchor": "middle" }, String(value))),
      s("text", { x: (MARGIN.left + width - MARGIN.right) / 2, y: height - 5, "text-anchor": "middle" }, t("view.tradeoff.axis")),
    );
  };

  /** The same in words. @param {Trail[]} trails */
  const ends = (trails) =>
    table({
      caption: t("view.tradeoff.label", { n: trails.length }),
      columns: [t("view.tradeoff.run"), "KL", t("view.tradeoff.proxy"), t("view.tradeoff.gold")],
      rows: trails.map((each) => {
        const last = each.points[each.points.length - 1];
        return [`${each.name} (${each.label})`, fixed(last.kl), fixed(last.proxy), fixed(last.gold)];
      }),
    });

  return redrawn(root, { t, name: "tradeoff", draw });
}

/** @param {Run} run @returns {Trail} */
function trail({ name, color, steps }) {
  const points = steps.map(({ step, metrics }) => ({
    step,
    kl: metrics["objective/kl"],
    proxy: metrics["objective/scores"],
    gold: metrics["monitor/gold"],
  }));
  return {
    name,
    color,
    label: betaName(steps.at(-1)?.metrics["objective/kl_coef"]),
    points: points.filter((point) => [point.kl, point.proxy, point.gold].every(Number.isFinite)),
  };
}

/** @param {"proxy" | "gold"} kind @param {number} x @param {number} y */
function dot(kind, x, y) {
  return kind === "proxy"
    ? s("circle", { cx: x, cy: y, r: 3.2, class: "view-dot-proxy" })
    : s("rect", { x: x - 2.8, y: y - 2.8, width: 5.6, height: 5.6, class: "view-dot-gold" });
}

/** Over the square root, so that an anchored run's small KL is not lost beside an unanchored one's. @param {(root: number) => number} scale */
function root2(scale) {
  return (/** @type {number} */ value) => scale(Math.sqrt(Math.max(0, value)));
}

/** Round KL values about evenly apart on the square-root axis. @param {number} far @param {number} count */
function roots(far, count) {
  const places = Math.max(2, Math.round(count));
  const wanted = Array.from({ length: places }, (_, i) => ((i + 1) / places) ** 2 * far);
  const round = (/** @type {number} */ value) => Number(value.toPrecision(1));
  return [...new Set([0, ...wanted.map(round)])].filter((value) => value <= far);
}
