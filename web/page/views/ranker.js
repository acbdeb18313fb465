// @ts-check
// The visitor as labeller: order the answers by clicking, dragging or the arrow keys, then compare with the simulated labeller.

import { h, redrawn } from "./dom.js";
import { promptLine } from "./judged.js";
import { click, isComplete, letter, move, unranked, written } from "./order.js";
import { comparison } from "./ranker_result.js";

/** @import { Ranked, Ranking, Translate } from "./types.js" */

/**
 * @param {HTMLElement} root
 * @param {{t: Translate, onRank: (index: number, order: number[]) => void, onAsk: () => void}} options
 */
export function createRanker(root, { t, onRank, onAsk }) {
  let draft = unranked(0);
  /** The ranking that `draft` is about. */
  let drafted = -1;
  let sent = -1;
  const live = h("p", { class: "view-hidden", role: "status" });

  /** @param {{ranking: Ranking | null, ranked: Ranked | null}} data */
  const draw = ({ ranking, ranked }) => {
    const open = ranking !== null && ranking.index !== ranked?.index;
    const result = ranked && comparison(t, ranked, ranking?.index === ranked.index ? ranking.answers : []);
    if (!open) return [result || h("p", { class: "view-empty" }, t("view.ranker.empty")), ask(result !== null), live];
    if (drafted !== ranking.index) {
      drafted = ranking.index;
      draft = unranked(ranking.answers.length);
    }
    return [
      promptLine(t, ranking.prompt, ranking.kind),
      h("p", { class: "view-note" }, t("view.ranker.how")),
      list(ranking),
      submit(ranking),
      live,
      result,
    ];
  };

  /** @param {boolean} again */
  const ask = (again) =>
    h(
      "button",
      { type: "button", class: "view-button", "data-keep": "ask", click: () => onAsk() },
      t(again ? "view.ranker.next" : "view.ranker.ask"),
    );

  /** @param {Ranking} ranking */
  const list = (ranking) => {
    const items = draft.order.map((answer, place) => item(ranking, answer, place));
    return h("ol", { class: "view-ranking", "aria-label": t("view.ranker.list") }, ...items);
  };

  /** @param {Ranking} ranking @param {number} answer @param {number} place */
  const item = (ranking, answer, place) => {
    const placed = place < draft.placed;
    const name = letter(answer);
    const arrow = (/** @type {number} */ to, /** @type {"up" | "down"} */ way) =>
      h(
        "button",
        {
          type: "button",
          class: "view-arrow",
          "aria-label": t(`view.ranker.${way}`, { name }),
          "aria-disabled": to < 0 || to >= draft.order.length ? "true" : null,
          "data-keep": `${way}-${answer}`,
          click: () => change(move(draft, answer, to), answer),
        },
        way === "up" ? "↑" : "↓",
      );
    const card = h(
      "button",
      {
        type: "button",
        class: "view-ranking-answer",
        "data-keep": `answer-${answer}`,
        "aria-pressed": placed ? "true" : "false",
        click: () => change(click(draft, answer), answer),
        keydown: (/** @type {KeyboardEvent} */ event) => byKey(event, answer, place),
      },
      h("span", { class: "view-rank", "aria-hidden": "true" }, placed ? String(place + 1) : "?"),
      h("b", { class: "view-letter" }, name),
      h("span", { class: "view-text" }, ranking.answers[answer].trim() || t("view.silence")),
      h("span", { class: "view-hidden" }, placed ? t("view.ranker.rank", { n: place + 1 }) : t("view.ranker.no_rank")),
    );
    const grip = h(
      "span",
      { class: "view-grip", "aria-hidden": "true", pointerdown: (/** @type {PointerEvent} */ event) => drag(event, answer) },
      "⠿",
    );
    return h(
      "li",
      { class: `view-ranking-item${placed ? " view-placed" : ""}`, "data-answer": answer },
      grip,
      card,
      arrow(place - 1, "up"),
      arrow(place + 1, "down"),
    );
  };

  /** @param {KeyboardEvent} event @param {number} answer @param {number} place */
  const byKey = (event, answer, place) => {
    const to = { ArrowUp: place - 1, ArrowDown: place + 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    change(move(draft, answer, to), answer);
  };

  /** Follows the pointer: the dragged card stays in the page (or touch would lose it), its neighbours change sides. @param {PointerEvent} event @param {number} answer */
  const drag = (event, answer) => {
    const card = /** @type {HTMLElement} */ (/** @type {HTMLElement} */ (event.currentTarget).closest("li"));
    event.preventDefault();
    card.classList.add("view-dragged");
    const follow = (/** @type {PointerEvent} */ { clientY }) => {
      const [above, below] = [card.previousElementSibling, card.nextElementSibling];
      if (above && clientY < middle(above)) card.after(above);
      else if (below && clientY > middle(below)) card.before(below);
    };
    const drop = () => {
      removeEventListener("pointermove", follow);
      removeEventListener("pointerup", drop);
      removeEventListener("pointercancel", drop);
      if (card.isConnected) change(move(draft, answer, [...(card.parentElement?.children ?? [])].indexOf(card)), answer);
    };
    addEventListener("pointermove", follow);
    addEventListener("pointerup", drop);
    addEventListener("pointercancel", drop);
  };

  /** @param {import("./order.js").Draft} next @param {number} answer */
  const change = (next, answer) => {
    draft = next;
    const place = draft.order.indexOf(answer);
    view.relabel();
    live.textContent =
      place < draft.placed
        ? t("view.ranker.said", { name: letter(answer), n: place + 1, count: draft.order.length })
        : t("view.ranker.taken", { name: letter(answer) });
  };

  /** @param {Ranking} ranking */
  const submit = (ranking) => {
    const ready = isComplete(draft) && sent !== ranking.index;
    const said = isComplete(draft) ? written(draft.order) : t("view.ranker.left", { n: draft.order.length - draft.placed });
    const send = () => {
      if (!ready) return;
      sent = ranking.index;
      onRank(ranking.index, [...draft.order]);
      view.relabel();
    };
    const again = () => {
      draft = unranked(draft.order.length);
      view.relabel();
    };
    return h(
      "div",
      { class: "view-row" },
      h("output", { class: "view-written" }, said),
      h(
        "button",
        { type: "button", class: "view-button", "data-keep": "submit", "aria-disabled": ready ? null : "true", click: send },
        t("view.ranker.submit"),
      ),
      draft.placed > 0 &&
        h("button", { type: "button", class: "view-button view-button-quiet", "data-keep": "again", click: again }, t("view.ranker.again")),
    );
  };

  const view = redrawn(root, { t, name: "ranker", draw });
  /** @param {{ranking: Ranking | null, ranked: Ranked | null} | null} data */
  const update = (data) => view.update(data ?? { ranking: null, ranked: null });
  update(null);
  return { update, relabel: view.relabel };
}

/** @param {Element} element */
function middle(element) {
  const box = element.getBoundingClientRect();
  return box.top + box.height / 2;
}
