// @ts-check
// The bar that stays on screen: start, pause, step, reset; settings; how far the current run is.

import { t, words } from "./i18n.js";
import { button, field, named, setOptions, tick, whenChanged } from "./kit.js";
import { runName } from "./names.js";
import { confirmReset } from "./reset.js";
import { h } from "./views/dom.js";
import { duration } from "./views/format.js";

/** @import { App } from "./kit.js" */
/** @import { State } from "./state.js" */

/** Names that have words; a plan that is not among them is shown by its own name. */
const NAMED_PRESETS = ["tiny", "small", "micro"];

/** Below this width the settings begin folded. */
const WIDE = "(min-width: 46rem)";

/** @param {HTMLElement} root @param {App} app */
export function buildBar(root, app) {
  const settings = h("div", { class: "settings", id: "settings" }, ...preset(app), slow(app), share(app));
  const fold = (/** @type {boolean} */ folded) => {
    settings.hidden = folded;
    more.setAttribute("aria-expanded", String(!folded));
  };
  const more = button("bar.settings", () => fold(!settings.hidden), { "aria-controls": "settings" });
  fold(!matchMedia(WIDE).matches);
  root.append(h("div", { class: "controls" }, h("div", { class: "transport" }, ...transport(app), more), progress(app), settings));
  // What is scrolled to must not end up under the bar, whatever its height.
  const bar = root.parentElement ?? root;
  new ResizeObserver(() => document.documentElement.style.setProperty("--bar", `${bar.offsetHeight}px`)).observe(bar);
}

/** @param {App} app */
function transport({ store, send, conductor }) {
  const play = words(h("button", { type: "button", class: "primary play", click: press }), "bar.start");
  const step = button("bar.step", () => send({ command: "advance" }));
  const reset = named("reset", button("bar.reset", () => confirmReset(store, () => conductor.open(false))));
  function press() {
    const { opened, lesson } = store.state;
    if (!opened) conductor.open(true);
    else send({ command: lesson.playing ? "pause" : "resume" });
  }
  whenChanged(
    store,
    play,
    ({ ready, recorded, opened, device, lesson }) => [ready, recorded, opened, device, lesson],
    (ready, recorded, opened, device, lesson) => {
      const able = ready !== null && !recorded;
      const more = lesson.stage !== "" || lesson.queue.length > 0;
      words(play, !opened ? "bar.start" : lesson.playing ? "bar.pause" : "bar.play");
      play.dataset.playing = String(lesson.playing);
      play.disabled = !able || (opened && (device === null || !more));
      step.disabled = !able || !opened || !more || lesson.playing;
      reset.disabled = !able || !opened;
    },
  );
  return [play, step, reset];
}

/** Size, seed and β: what a lesson begins with. @param {App} app */
function preset({ store, settings }) {
  const size = h("select", { change: () => settings.set({ preset: size.value, beta: null }) });
  const seed = h("input", { type: "number", min: 0, step: 1, class: "narrow", change: () => seed.reportValidity() && settings.set({ seed: seed.valueAsNumber }) });
  const beta = h("input", { type: "number", min: 0, step: "any", class: "narrow", change: () => beta.reportValidity() && settings.set({ beta: beta.valueAsNumber }) });
  for (const input of [seed, beta]) input.required = true;
  const pending = words(h("p", { class: "quiet pending" }), "bar.pending");
  const show = () => {
    const plans = store.state.ready?.plans;
    pending.hidden = !store.state.opened || store.state.recorded;
    for (const input of [size, seed, beta]) input.disabled = !plans;
    if (!plans) return;
    const label = (/** @type {string} */ name) => (NAMED_PRESETS.includes(name) ? t(`preset.${name}`) : name);
    setOptions(size, Object.keys(plans).map((name) => [name, label(name)]));
    size.value = settings.preset(plans);
    const plan = settings.plan(plans);
    seed.value = String(plan.seed);
    beta.value = String(plan.kl_coef);
  };
  whenChanged(store, size, ({ ready, opened, recorded }) => [ready, opened, recorded], show);
  settings.listen(show);
  return [named("preset", field("bar.preset", size)), named("seed", field("bar.seed", seed)), named("beta", field("bar.beta", beta)), pending];
}

/** @param {App} app */
function slow({ conductor }) {
  return named("slow", tick("bar.slow", (checked) => conductor.setPage("page.slow_motion", Number(checked))));
}

/** @param {App} app */
function share({ conductor }) {
  const value = words(h("output"), "bar.share_value", { percent: 100 });
  const slider = h("input", { type: "range", min: 0.1, max: 1, step: 0.1, value: 1, input: () => words(value, "bar.share_value", { percent: Math.round(slider.valueAsNumber * 100) }), change: () => conductor.setPage("page.share", slider.valueAsNumber) });
  const hint = words(h("span", { class: "quiet", id: "share-hint" }), "bar.share_hint");
  slider.setAttribute("aria-describedby", "share-hint");
  return named("share", h("div", { class: "share" }, field("bar.share", slider, value), hint));
}

/** @param {App} app */
function progress({ store }) {
  const meter = h("progress", { max: 1, value: 0, "aria-label": "" });
  const text = h("span", { role: "status" });
  const time = h("span", { class: "quiet" });
  const saved = h("span", { class: "quiet saved" });
  const box = h("div", { class: "progress" }, meter, h("p", {}, text, time, saved));
  whenChanged(
    store,
    box,
    (state) => [state.ready, state.opened, state.device, state.compiling, state.lesson, steps(state), state.saved],
    () => {
      const { state } = store;
      const { lesson } = state;
      const step = Math.max(lesson.step, steps(state));
      meter.max = Math.max(1, lesson.total_steps);
      meter.value = lesson.stage ? step : 0;
      meter.setAttribute("aria-label", t("bar.progress"));
      text.textContent = standing(state, step);
      saved.textContent = state.saved?.stage ? t("bar.saved", { run: runName(state.saved.stage), step: state.saved.step }) : "";
    },
  );
  clock(store, (seconds) => (time.textContent = seconds > 0 ? t("bar.time", { time: duration(t, seconds) }) : ""));
  return box;
}

/** Steps of the run in progress, as it told itself: `state` is said more seldom. @param {State} state */
export function steps(state) {
  return state.runs[state.lesson.stage]?.steps.at(-1)?.step ?? 0;
}

/** @param {State} state @param {number} step */
function standing({ ready, opened, recorded, device, compiling, lesson }, step) {
  if (!ready && !recorded) return t("bar.loading");
  if (compiling) return t("bar.compiling", compiling);
  if (!opened) return t("bar.idle");
  if (!device && !recorded) return t("bar.opening");
  if (lesson.stage && lesson.total_steps === 0) return t("bar.preparing", { run: runName(lesson.stage) });
  if (lesson.stage) return t(lesson.playing ? "bar.running" : "bar.paused", { run: runName(lesson.stage), step, total: lesson.total_steps });
  return lesson.queue.length > 0 ? t("bar.waiting", { next: runName(lesson.queue[0]) }) : t("bar.done");
}

/** Tells every second how long the lesson has been playing. @param {App["store"]} store @param {(seconds: number) => void} tell */
function clock(store, tell) {
  let seconds = 0;
  setInterval(() => {
    if (!store.state.opened) seconds = 0;
    if (store.state.lesson.playing) seconds += 1;
    tell(seconds);
  }, 1000);
}
