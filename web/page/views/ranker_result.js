// @ts-check
// Two rankings beside each other: lines that cross are pairs on which the visitor and the simulated labeller differ.

import { h, s } from "./dom.js";
import { agreement, letter, written } from "./order.js";

/** @import { Ranked, Translate } from "./types.js" */

const ROW = 34;
const WIDTH = 220;
const [LEFT, RIGHT] = [34, WIDTH - 34];

/** @param {Translate} t @param {Ranked} ranked @param {string[]} answers their texts where they are known */
export function comparison(t, { order, simulated, count }, answers) {
  const { total, agree, differ } = agreement(order, simulated);
  return h(
    "section",
    { class: "view-card view-agreement", "aria-label": t("view.ranker.result") },
    h("p", { class: "view-headline" }, t("view.ranker.agree", { agree, total })),
    h(
      "div",
      { class: "view-agreement-body" },
      crossing(t, order, simulated),
      h(
        "dl",
        { class: "view-orders" },
        h("div", {}, h("dt", {}, t("view.ranker.you")), h("dd", {}, written(order))),
        h("div", {}, h("dt", {}, t("view.ranker.simulated")), h("dd", {}, written(simulated))),
        h(
          "div",
          {},
          h("dt", {}, t("view.ranker.differ")),
          h("dd", {}, differ.length === 0 ? t("view.ranker.nowhere") : differ.map(written).join(", ")),
        ),
      ),
    ),
    answers.length > 0 &&
      h(
        "ul",
        { class: "view-lettered" },
        ...order.map((answer) =>
          h("li", {}, h("b", { class: "view-letter" }, letter(answer)), " ", answers[answer].trim() || t("view.silence")),
        ),
      ),
    h("p", { class: "view-note" }, t("view.ranker.count", { n: count })),
  );
}

/** @param {Translate} t @param {number[]} order @param {number[]} simulated */
function crossing(t, order, simulated) {
  const height = order.length * ROW + 24;
  const at = (/** @type {number} */ place) => 40 + place * ROW;
  const end = (/** @type {number} */ answer, /** @type {number} */ x, /** @type {number} */ y) =>
    s("g", {}, s("circle", { cx: x, cy: y, r: 13 }), s("text", { x, y: y + 5, "text-anchor": "middle" }, letter(answer)));
  return s(
    "svg",
    { class: "view-crossing", viewBox: `0 0 ${WIDTH} ${height}`, role: "img", "aria-label": t("view.ranker.crossing") },
    s("text", { x: LEFT, y: 14, "text-anchor": "middle", class: "view-crossing-name" }, t("view.ranker.you")),
    s("text", { x: RIGHT, y: 14, "text-anchor": "middle", class: "view-crossing-name" }, t("view.ranker.labeller")),
    ...order.map((answer, place) => {
      const other = simulated.indexOf(answer);
      return s(
        "g",
        { class: place === other ? "view-same" : "view-moved" },
        s("line", { x1: LEFT, y1: at(place), x2: RIGHT, y2: at(other) }),
        end(answer, LEFT, at(place)),
        end(answer, RIGHT, at(other)),
      );
    }),
  );
}
