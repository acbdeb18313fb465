// @ts-check
// Small pieces that several views share: scores with their bars, prompts, names of models and kinds.

import { h, styled } from "./dom.js";
import { fixed, signed } from "./format.js";

/** @import { Kind, Translate } from "./types.js" */

/** Gold's range is −1 to 1. */
const GOLD_LIMIT = 1;

/** A number with a bar from the middle: left is below zero. @param {number | null | undefined} value @param {number} [limit] */
export function score(value, limit = GOLD_LIMIT) {
  const share = Math.max(-1, Math.min(1, (value ?? 0) / limit));
  const bar = styled(h("span", { class: `view-score-bar ${share < 0 ? "view-bad" : "view-good"}`, "aria-hidden": "true" }), {
    "--from": share < 0 ? 0.5 + share / 2 : 0.5,
    "--size": Math.abs(share) / 2,
  });
  return h("span", { class: "view-score" }, h("span", { class: "view-number" }, signed(value)), bar);
}

/** A share with a bar from the left. @param {number} share @param {string} text */
export function shareBar(share, text) {
  const bar = styled(h("span", { class: "view-share-bar", "aria-hidden": "true" }), { "--size": Math.max(0, Math.min(1, share)) });
  return h("span", { class: "view-score" }, h("span", { class: "view-number" }, text), bar);
}

/** "gold +0.85". @param {string} name @param {number | null | undefined} value */
export function chip(name, value) {
  return h("span", { class: "view-chip" }, h("span", { class: "view-quiet" }, name), " ", h("b", { class: "view-number" }, signed(value)));
}

/** What was asked, and what is due. @param {Translate} t @param {string} prompt @param {Kind} [kind] */
export function promptLine(t, prompt, kind) {
  return h(
    "p",
    { class: "view-prompt" },
    h("span", { class: "view-quiet" }, t("view.prompt")),
    " ",
    h("q", {}, prompt),
    kind && kindBadge(t, kind),
  );
}

/** @param {Translate} t @param {Kind} kind */
export function kindBadge(t, kind) {
  return h("span", { class: `view-kind view-kind-${kind}` }, t(`view.kind.${kind}`));
}

/** Stages and models as people call them. @param {Translate} t @param {string} name */
export function modelName(t, name) {
  if (["base", "preferences", "reward", "compare"].includes(name)) return t(`view.model.${name}`);
  return name.replace(/^(sft|ppo|dpo)/, (stage) => stage.toUpperCase());
}

/** A run is best known by its β. @param {number | undefined} beta */
export function betaName(beta) {
  return `β = ${beta === undefined ? "?" : fixed(beta, 3).replace(/\.?0+$/, "")}`;
}

/** Cuts out every "thank you". @param {string} text @returns {{text: string, thanks: boolean}[]} */
export function splitThanks(text) {
  return text
    .split(/(thank\s+you)/i)
    .filter((part) => part !== "")
    .map((part) => ({ text: part, thanks: /^thank\s+you$/i.test(part) }));
}
