// @ts-check
// Keeps the screen awake while a lesson plays, and says what happened while the tab was hidden.

import { words } from "./i18n.js";
import { whenChanged } from "./kit.js";
import { h } from "./views/dom.js";

/** @import { App } from "./kit.js" */

/** @param {App} app */
export function keepAwake({ store }) {
  /** @type {WakeLockSentinel | null} */
  let lock = null;
  const wanted = () => store.state.lesson.playing && document.visibilityState === "visible";
  const hold = async () => {
    if (!wanted()) {
      const held = lock;
      lock = null;
      await held?.release();
    } else if (!lock || lock.released) {
      // Refused where the battery is low: training goes on all the same.
      lock = (await navigator.wakeLock?.request("screen").catch(() => null)) ?? null;
    }
  };
  document.addEventListener("visibilitychange", hold);
  whenChanged(store, document.body, ({ lesson }) => [lesson.playing], hold);
}

/** @param {HTMLElement} root @param {App} app */
export function tellHidden(root, { store }) {
  const note = h("p", { class: "notice info", role: "status", hidden: true });
  root.append(note);
  const count = () => Object.values(store.state.runs).reduce((sum, run) => sum + run.steps.length, 0);
  let before = 0;
  document.addEventListener("visibilitychange", () => {
    if (document.visibilityState === "hidden") {
      before = count();
      return;
    }
    note.hidden = count() <= before;
    if (!note.hidden) words(note, "bar.hidden", { steps: count() - before });
  });
}
