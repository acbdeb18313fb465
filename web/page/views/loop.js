// @ts-check
// The PPO loop of the chapter, lit up as data goes round it, with this moment's numbers at the arrows.

import { freshId, h, redrawn, s, sized } from "./dom.js";
import { fixed, isNumber, percent, signed } from "./format.js";
import { LIT, NODE_HEIGHT, TALL, WIDE } from "./loop_layout.js";

/** @import { Metrics, Phase, Translate } from "./types.js" */
/** @import { Layout } from "./loop_layout.js" */

/** Below this width the wide drawing's words get too small. */
const NARROW = 620;
const PHASES = /** @type {Phase[]} */ (Object.keys(LIT));
/** Models are square, what flows between them is round, as in the chapter. */
const MODELS = new Set(["actor", "reward", "reference"]);

/** @param {HTMLElement} root @param {{t: Translate}} options */
export function createLoop(root, { t }) {
  const arrow = freshId("arrow");

  /** @param {{phase: Phase | null, step: number, metrics: Metrics | null, kl_coef: number}} data */
  const draw = ({ phase, step, metrics, kl_coef }) => {
    const numbers = measured(metrics ?? {}, kl_coef);
    return [
      sized((width) => picture(width < NARROW ? TALL : WIDE, phase, numbers)),
      h(
        "ol",
        { class: "view-phases", "aria-label": t("view.loop.phases", { n: step }) },
        ...PHASES.map((name) => h("li", { "aria-current": name === phase ? "step" : null }, t(`view.loop.phase.${name}`))),
      ),
      h("p", { class: "view-note" }, phase ? t(`view.loop.about.${phase}`) : t("view.loop.resting")),
    ];
  };

  /** @param {Metrics} metrics @param {number} beta @returns {Record<string, string | null>} */
  const measured = (metrics, beta) => {
    const [length, score, kl, total, penalty, clipped] = [
      "completions/mean_length",
      "objective/scores",
      "objective/kl",
      "objective/rlhf_reward",
      "objective/non_score_reward",
      "policy/clipfrac_avg",
    ].map((key) => metrics[key]);
    const if_known = (/** @type {number} */ value, /** @type {() => string} */ text) => (isNumber(value) ? text() : null);
    return {
      score: if_known(score, () => signed(score)),
      kl: if_known(kl, () => fixed(kl)),
      "actor-response": if_known(length, () => t("view.loop.tokens", { n: fixed(length, 1) })),
      "score-update": if_known(total - penalty, () => signed(total - penalty)),
      "kl-update": if_known(kl, () => t("view.loop.penalty", { beta: fixed(beta), kl: fixed(kl), product: signed(-beta * kl) })),
      "update-actor": if_known(clipped, () => t("view.loop.clipped", { share: percent(clipped, 1) })),
    };
  };

  /** @param {Layout} layout @param {Phase | null} phase @param {Record<string, string | null>} numbers */
  const picture = (layout, phase, numbers) => {
    const lit = new Set(phase ? LIT[phase] : []);
    const label = t("view.loop.label", { phase: phase ? t(`view.loop.phase.${phase}`) : t("view.loop.none") });
    return s(
      "svg",
      { class: "view-loop-picture", viewBox: `0 0 ${layout.width} ${layout.height}`, role: "img", "aria-label": label },
      s("defs", {}, marker(arrow, "view-arrow-head"), marker(`${arrow}-lit`, "view-arrow-head-lit")),
      ...Object.entries(layout.edges).map(([name, { path, label: at }]) => edge(name, path, at, lit.has(name), numbers[name])),
      ...Object.entries(layout.nodes).map(([name, place]) => node(name, place, lit.has(name), numbers[name])),
    );
  };

  /** @param {string} id @param {string} look */
  const marker = (id, look) =>
    s(
      "marker",
      {
        id,
        viewBox: "0 0 8 8",
        refX: 6,
        refY: 4,
        markerWidth: 9,
        markerHeight: 9,
        markerUnits: "userSpaceOnUse",
        orient: "auto-start-reverse",
      },
      s("path", { d: "M0 0L8 4L0 8Z", class: look }),
    );

  /** @param {string} name @param {string} path @param {import("./loop_layout.js").Way["label"]} at @param {boolean} lit @param {string | null | undefined} number */
  const edge = (name, path, at, lit, number) =>
    s(
      "g",
      { class: `view-edge${lit ? " view-lit" : ""}${name === "reference-kl" ? " view-dashed" : ""}` },
      s("path", { d: path, "marker-end": `url(#${arrow}${lit ? "-lit" : ""})` }),
      at && number && s("text", { x: at.x, y: at.y, "text-anchor": at.anchor }, number),
    );

  /** @param {string} name @param {import("./loop_layout.js").Place} place @param {boolean} lit @param {string | null | undefined} number */
  const node = (name, { x, y, width }, lit, number) =>
    s(
      "g",
      { class: `view-node view-node-${name}${lit ? " view-lit" : ""}` },
      s("rect", { x: x - width / 2, y: y - NODE_HEIGHT / 2, width, height: NODE_HEIGHT, rx: MODELS.has(name) ? 6 : NODE_HEIGHT / 2 }),
      s("text", { x, y: y + (number || name === "reference" ? -4 : 5), "text-anchor": "middle" }, t(`view.loop.node.${name}`)),
      (number || name === "reference") &&
        s(
          "text",
          { x, y: y + 15, "text-anchor": "middle", class: name === "reference" ? "view-node-aside" : "view-node-number" },
          number ?? t("view.loop.frozen"),
        ),
    );

  return redrawn(root, { t, name: "loop", draw });
}
