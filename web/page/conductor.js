// @ts-check
// Between the page and the worker: opens lessons, starts the worker again, and lets a recording speak in the worker's place.

import { t } from "./i18n.js";
import { play } from "./recording.js";

/** @import { Recording } from "./recording.js" */
/** @import { Settings } from "./settings.js" */
/** @import { Store } from "./store.js" */
/** @typedef {{send(command: any): void, restart(): void, free(): void}} Session */
/** @typedef {"auto" | "gpu" | "cpu"} Device */

const PLAYS = ["resume", "go", "fork"];
const PAUSES = ["pause", "advance"];

/**
 * @param {Store} store @param {Settings} settings
 * @param {(hear: (event: any) => void) => Session} connect starts the worker
 */
export function createConductor(store, settings, connect) {
  /** @type {Session | null} */
  let session = null;
  /** @type {Device} */
  let device = "auto";
  /** To play as soon as the lesson is open. */
  let playWhenOpen = false;
  /** Whether the visitor wants it to play. A worker that loses its device stops before it knows why, so that its own word says little. */
  let wanted = false;
  /** How a lesson that lost its worker goes on as soon as the next one listens. @type {{playing: boolean, message: string} | null} */
  let recovery = null;
  /** Whether the page went on by itself after a loss, and nothing could be saved since. */
  let tried = false;
  /** @type {Map<string, number>} page settings, which another worker does not know */
  const pageSettings = new Map();
  /** @type {any} */
  let ready = null;
  /** @type {{about: Recording, player: ReturnType<typeof play>} | null} */
  let recording = null;

  /** @param {any} event */
  function hear(event) {
    if (event.event === "ready") ready = event;
    if (recording) return;
    if (event.event === "lost" && !tried) return recover(event.message);
    store.hear(event);
    if (event.event === "ready") greet();
    if (event.event === "saved") tried = false;
    if (event.event === "state" && playWhenOpen && store.state.device) {
      playWhenOpen = false;
      send({ command: "resume" });
    }
  }

  function greet() {
    for (const [path, value] of pageSettings) send({ command: "set", path, value });
    if (!recovery) return;
    const { playing, message } = recovery;
    recovery = null;
    resume(playing);
    if (message) store.hear({ event: "warning", message: t("problem.recovered", { message }) });
  }

  /** Another worker goes on from the last checkpoint. @param {string} message why */
  function recover(message) {
    tried = true;
    recovery = store.state.opened ? { playing: wanted, message } : null;
    session?.restart();
  }

  /** @param {any} command */
  function send(command) {
    if (recording) return;
    if (PLAYS.includes(command.command)) wanted = true;
    if (PAUSES.includes(command.command)) wanted = false;
    session?.send(command);
  }

  /** @param {any} plan @param {boolean} goOn @param {boolean} playing */
  function open(plan, goOn, playing) {
    store.hear({ event: "page_open", recorded: false });
    playWhenOpen = wanted = playing;
    send({ command: "open", plan, device, resume: goOn });
  }

  /** @param {boolean} playing */
  function resume(playing) {
    const kept = ready?.unfinished;
    if (kept) settings.adopt(kept.plan, ready.plans);
    if (ready) open(kept?.plan ?? settings.plan(ready.plans), Boolean(kept), playing);
  }

  /** What can be gone on with is no longer what the worker said first. @param {{unfinished?: undefined, own?: undefined}} kept */
  function tellKept(kept) {
    ready = { ...ready, ...kept };
    store.hear({ event: "page_kept", kept });
  }

  return {
    start() {
      session = connect(hear);
    },
    send,
    /** Begins the lesson anew. @param {boolean} playing */
    open(playing) {
      if (ready) open(settings.plan(ready.plans), false, playing);
    },
    resume: () => resume(true),
    /** The kept lesson is thrown away. */
    forget() {
      send({ command: "forget" });
      tellKept({ unfinished: undefined });
    },
    /** The kept run on the visitor's own model goes on. */
    resumeOwn() {
      tellKept({ own: undefined });
      send({ command: "train", resume: true });
    },
    /** It is thrown away. */
    forgetOwn() {
      send({ command: "forget_own" });
      tellKept({ own: undefined });
    },
    /** Another worker, which goes on from the last checkpoint. */
    restart() {
      recovery = { playing: true, message: "" };
      session?.restart();
    },
    /** Begins anew on a device of the visitor's choice. @param {Device} chosen */
    openOn(chosen) {
      device = chosen;
      this.open(true);
    },
    /** @param {"page.share" | "page.slow_motion"} path @param {number} value */
    setPage(path, value) {
      pageSettings.set(path, value);
      if (ready) send({ command: "set", path, value });
    },
    /** @param {Recording} recorded */
    playRecording(recorded) {
      // What a worker says of itself is said by this page's own worker.
      const tell = (/** @type {any} */ event) => void (event.event !== "ready" && store.hear(event));
      send({ command: "pause" });
      store.hear({ event: "page_open", recorded: true });
      recording = { about: recorded, player: play(recorded, tell) };
      recording.player.resume();
    },
    get recording() {
      return recording;
    },
    leaveRecording() {
      recording?.player.pause();
      recording = null;
      store.hear(ready ?? { event: "page_leave" });
    },
  };
}

/** @typedef {ReturnType<typeof createConductor>} Conductor */
