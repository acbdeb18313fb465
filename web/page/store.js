// @ts-check
// Holds the state and has panels drawn: once per frame at most, only what is on screen, and never for long at a time.

import { initial, reduce } from "./state.js";

/** @import { State } from "./state.js" */
/** @typedef {(state: State) => void} Draw */
/** @typedef {{draw: Draw, visible: boolean, drawn: State | null}} Panel */

/** Milliseconds of drawing per frame; what is left waits for the next one. A single view may take longer, but not two. */
const BUDGET_MS = 12;

export function createStore() {
  let state = initial();
  let asked = false;
  /** @type {Map<Element, Panel>} */
  const panels = new Map();
  const observer = new IntersectionObserver(
    (entries) => {
      for (const entry of entries) {
        const panel = panels.get(entry.target);
        if (panel) panel.visible = entry.isIntersecting;
      }
      ask();
    },
    { rootMargin: "200px 0px" },
  );

  function ask() {
    if (asked) return;
    asked = true;
    requestAnimationFrame(() => {
      asked = false;
      drawSome();
    });
  }

  function drawSome() {
    const begun = performance.now();
    for (const [element, panel] of panels) {
      if (!panel.visible || panel.drawn === state) continue;
      if (performance.now() - begun > BUDGET_MS) return ask();
      // To the end of the queue, so that under load every panel has its turn.
      panels.delete(element);
      panels.set(element, panel);
      panel.drawn = state;
      panel.draw(state);
    }
  }

  return {
    get state() {
      return state;
    },
    /** @param {any} event */
    hear(event) {
      state = reduce(state, event);
      ask();
    },
    /** `draw` is called with new states while `element` is on screen; `always`: wherever it is. @param {Element} element @param {Draw} draw @param {boolean} [always] */
    watch(element, draw, always = false) {
      if (panels.has(element)) throw new Error("an element is watched once");
      panels.set(element, { draw, visible: always, drawn: null });
      if (!always) observer.observe(element);
      ask();
    },
    /** Draws everything anew: the words changed. */
    redraw() {
      for (const panel of panels.values()) panel.drawn = null;
      ask();
    },
  };
}

/** @typedef {ReturnType<typeof createStore>} Store */
