// @ts-check
// A sampled answer token by token: what PPO knows of each.

import { freshId, h, redrawn } from "./dom.js";
import { fixed, isNumber, signed } from "./format.js";
import { chip, promptLine } from "./judged.js";
import { createDetail, middleColour, scaleLegend, tokenStrip, visible } from "./tokens.js";
import { MODES, isClipped, scaleLimit, tone, valuesOf } from "./token_values.js";

/** @import { Shown, Translate } from "./types.js" */
/** @import { Mode } from "./token_values.js" */

const MOST_EPISODES = 4;
const MOST_TOKENS = 160;

/** @param {HTMLElement} root @param {{t: Translate}} options */
export function createHeatmap(root, { t }) {
  const group = freshId("mode");
  /** @type {Mode} */
  let mode = "log_ratio";
  const detail = createDetail();
  /** @type {import("./colour.js").Rgb | undefined} */
  let middle;

  /** @param {{step: number, kl_coef: number, cliprange: number, episodes: Shown[]}} data @param {boolean} relabelled */
  const draw = ({ step, cliprange, episodes }, relabelled) => {
    const shown = episodes.slice(0, MOST_EPISODES);
    const tones = shown.flatMap((episode) => valuesOf(mode, episode).map((value) => tone(mode, value)));
    const limit = scaleLimit(tones);
    if (relabelled || middle === undefined) middle = middleColour(root);
    const ground = middle;
    const answer = (/** @type {Shown} */ episode, /** @type {number} */ i) =>
      h(
        "div",
        { class: "view-card" },
        promptLine(t, episode.prompt),
        tokenStrip({
          label: t("view.heatmap.answer", { n: i + 1 }),
          cells: cells(episode, cliprange),
          limit,
          middle: ground,
          keep: `cell-${i}`,
        }),
        valuesOf(mode, episode).length === 0 && h("p", { class: "view-pending" }, t("view.heatmap.pending")),
        h("p", { class: "view-row" }, chip(t("view.reward"), episode.score), chip(t("view.gold"), episode.gold)),
      );
    const ends = /** @type {[string, string, string]} */ (
      mode === "ratio" ? [fixed(Math.exp(-limit)), "1", fixed(Math.exp(limit))] : [signed(-limit), "0", signed(limit)]
    );
    return [
      modes(),
      h("p", { class: "view-note" }, t(`view.heatmap.about.${mode}`, { low: fixed(1 - cliprange), high: fixed(1 + cliprange) })),
      h(
        "div",
        { class: "view-row" },
        tones.length > 0 && scaleLegend(ground, ends, t(`view.heatmap.mode.${mode}`)),
        h("span", { class: "view-quiet" }, t("view.iteration", { n: step })),
      ),
      detail(shown.map(answer), t("view.heatmap.hint")),
    ];
  };

  const modes = () =>
    h(
      "fieldset",
      { class: "view-modes" },
      h("legend", {}, t("view.heatmap.modes")),
      ...MODES.map((name) =>
        h(
          "label",
          {},
          h("input", {
            type: "radio",
            name: group,
            value: name,
            checked: name === mode,
            "data-keep": `mode-${name}`,
            change: () => {
              mode = name;
              view.relabel();
            },
          }),
          h("span", {}, t(`view.heatmap.mode.${name}`)),
        ),
      ),
    );

  /** @param {Shown} episode @param {number} cliprange */
  const cells = (episode, cliprange) => {
    const values = valuesOf(mode, episode);
    // A score that stands one past the last token is a cell of its own.
    const texts = episode.tokens.concat(values.length > episode.tokens.length ? [t("view.heatmap.end")] : []);
    return texts.slice(0, MOST_TOKENS).map((text, i) => {
      const value = values[i];
      const clipped = mode === "ratio" && isClipped(value, episode.advantages[i], cliprange);
      return {
        text,
        number: isNumber(value) ? (mode === "ratio" ? fixed(value) : signed(value)) : "…",
        tone: isNumber(value) ? tone(mode, value) : null,
        detail: described(episode, i, text, cliprange),
        mark: clipped ? t("view.heatmap.clipped") : undefined,
      };
    });
  };

  /** Everything known of one token, the shown quantity first. @param {Shown} episode @param {number} i @param {string} text @param {number} cliprange */
  const described = (episode, i, text, cliprange) => {
    const part = (/** @type {Mode} */ name) => {
      const value = valuesOf(name, episode)[i];
      const number = isNumber(value) ? (name === "ratio" ? fixed(value, 3) : signed(value, 3)) : t("view.heatmap.unknown");
      return `${t(`view.heatmap.mode.${name}`)} ${number}`;
    };
    const parts = [mode, ...MODES.filter((name) => name !== mode)].map(part);
    const clipped = isClipped(episode.ratios[i], episode.advantages[i], cliprange) ? ` (${t("view.heatmap.clipped")})` : "";
    return `“${visible(text)}” – ${parts.join(" · ")}${clipped}`;
  };

  const view = redrawn(root, { t, name: "heatmap", draw });
  return view;
}
