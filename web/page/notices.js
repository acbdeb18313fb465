// @ts-check
// What stands in the way, each with a next step: no WebGPU, a failed start, a lost device, an unfinished lesson; and the recording's bar.

import { t, words } from "./i18n.js";
import { button, field, whenChanged } from "./kit.js";
import { runName } from "./names.js";
import { load } from "./recording.js";
import { h } from "./views/dom.js";

/** @import { App } from "./kit.js" */
/** @import { Adapter } from "./header.js" */
/** @import { State } from "./state.js" */

const SPEEDS = [1, 2, 5, 20];

/** @param {HTMLElement} root @param {App} app @param {Promise<Adapter | null>} looking */
export function buildNotices(root, app, looking) {
  const { store, conductor } = app;
  const noGpu = notice("warn", words(h("p"), "problem.nogpu"), button("problem.cpu", () => conductor.openOn("cpu")), watch(app));
  noGpu.hidden = true;
  root.append(noGpu, resumeNotice(app), resumeOwnNotice(app), problemNotice(app), warningNotice(app), recordingBar(app));
  whenChanged(store, noGpu, ({ opened }) => [opened], async (opened) => {
    noGpu.hidden = opened || (await looking) !== null;
  });
}

/** The page itself did not start. @param {HTMLElement} root @param {App} app @param {unknown} error */
export function showBrokenPage(root, app, error) {
  const message = error instanceof Error ? error.message : String(error);
  root.prepend(notice("bad", words(h("p"), "problem.script", { message }), watch(app)));
}

/** @param {App} app */
function resumeNotice({ store, conductor }) {
  const text = h("p");
  const box = notice("info", text, button("resume.yes", () => conductor.resume(), { class: "primary" }), button("resume.no", () => conductor.forget()));
  whenChanged(store, box, ({ ready, opened }) => [ready, opened], (ready, opened) => {
    const kept = ready?.unfinished;
    box.hidden = !kept || opened;
    if (kept) words(text, "resume.text", { run: runName(kept.stage || "base"), step: kept.step });
  });
  return box;
}

/** @param {App} app */
function resumeOwnNotice({ store, conductor }) {
  const text = h("p");
  const box = notice("info", text, button("resume.yes", () => conductor.resumeOwn(), { class: "primary" }), button("resume.no", () => conductor.forgetOwn()));
  whenChanged(store, box, ({ ready }) => [ready], (ready) => {
    const kept = ready?.own;
    box.hidden = !kept;
    if (kept) words(text, "resume.own", { run: runName(kept.stage), step: kept.step });
  });
  return box;
}

/** @param {App} app */
function problemNotice(app) {
  const { store, conductor } = app;
  const text = h("p");
  const restart = button("problem.restart", () => conductor.restart(), { class: "primary" });
  const cpu = button("problem.cpu", () => conductor.openOn("cpu"));
  const recorded = watch(app);
  const box = notice("bad", text, restart, cpu, recorded, button("problem.dismiss", () => store.hear({ event: "page_dismiss" })));
  whenChanged(store, box, ({ problem }) => [problem], (/** @type {State["problem"]} */ problem) => {
    box.hidden = problem === null;
    if (problem === null) return;
    restart.hidden = problem.kind !== "lost";
    cpu.hidden = recorded.hidden = problem.kind !== "open";
    words(text, `problem.${problem.kind}`, { message: problem.message, run: problem.stage ? runName(problem.stage) : "" });
  });
  return box;
}

/** @param {App} app */
function warningNotice({ store }) {
  const list = h("ul");
  const box = notice("warn", list, button("problem.dismiss", () => store.hear({ event: "page_dismiss" })));
  whenChanged(store, box, ({ warnings }) => [warnings], (warnings) => {
    box.hidden = warnings.length === 0;
    list.replaceChildren(...warnings.map((/** @type {string} */ message) => h("li", {}, message)));
  });
  return box;
}

/** A button that opens the recording. @param {App} app */
function watch({ conductor, store }) {
  return button("problem.recording", async () => {
    try {
      conductor.playRecording(await load(fetch));
    } catch {
      store.hear({ event: "warning", message: t("recording.none") });
    }
  });
}

/** @param {App} app */
function recordingBar({ store, conductor }) {
  const text = h("p");
  const pause = button("recording.pause", () => {
    const player = conductor.recording?.player;
    if (player?.playing) player.pause();
    else player?.resume();
    words(pause, player?.playing ? "recording.pause" : "recording.play");
  });
  const speed = h("select", { change: () => conductor.recording?.player.setSpeed(Number(speed.value)) }, ...SPEEDS.map((times) => h("option", { value: times }, `${times} ×`)));
  const box = notice("warn", words(h("b"), "recording.label"), text, pause, field("recording.speed", speed), button("recording.end", () => conductor.leaveRecording()));
  whenChanged(store, box, ({ recorded }) => [recorded], () => {
    box.hidden = !conductor.recording;
    if (!conductor.recording) return;
    const { device, date, command } = conductor.recording.about;
    words(text, "recording.text", { device, date, command });
    words(pause, conductor.recording.player.playing ? "recording.pause" : "recording.play");
  });
  return box;
}

/** @param {"info" | "warn" | "bad"} kind @param {...HTMLElement} children */
function notice(kind, ...children) {
  return h("div", { class: `notice ${kind}`, role: kind === "bad" ? "alert" : "status" }, ...children);
}
