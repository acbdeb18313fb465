// @ts-check
// Between the page and the worker: opens lessons, starts the worker again, and lets a recording speak in the worker's place.

import { play } from "./recording.js";

/** @import { Recording } from "./recording.js" */
/** @import { Settings } from "./settings.js" */
/** @import { Store } from "./store.js" */
/** @typedef {{send(command: any): void, restart(): void, free(): void}} Session */
/** @typedef {"auto" | "gpu" | "cpu"} Device */

/**
 * @param {Store} store @param {Settings} settings
 * @param {(hear: (event: any) => void) => Session} connect starts the worker
 */
export function createConductor(store, settings, connect) {
  /** @type {Session | null} */
  let session = null;
  /** @type {Device} */
  let device = "auto";
  /** To play as soon as the lesson is open; to go on with the kept lesson as soon as the worker listens. */
  let playWhenOpen = false;
  let resumeWhenReady = false;
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
    store.hear(event);
    if (event.event === "ready") greet();
    if (event.event === "state" && playWhenOpen && store.state.device) {
      playWhenOpen = false;
      send({ command: "resume" });
    }
  }

  function greet() {
    for (const [path, value] of pageSettings) send({ command: "set", path, value });
    if (resumeWhenReady) resume();
    resumeWhenReady = false;
  }

  /** @param {any} command */
  function send(command) {
    if (!recording) session?.send(command);
  }

  /** @param {any} plan @param {boolean} goOn @param {boolean} playing */
  function open(plan, goOn, playing) {
    store.hear({ event: "page_open", recorded: false });
    playWhenOpen = playing;
    send({ command: "open", plan, device, resume: goOn });
  }

  function resume() {
    const kept = ready?.unfinished;
    if (kept) settings.adopt(kept.plan, ready.plans);
    if (ready) open(kept?.plan ?? settings.plan(ready.plans), Boolean(kept), true);
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
    resume,
    /** The kept lesson is thrown away. */
    forget() {
      send({ command: "forget" });
      ready = { ...ready, unfinished: undefined };
      store.hear(ready);
    },
    /** Another worker, which goes on from the last checkpoint. */
    restart() {
      resumeWhenReady = true;
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
      send({ command: "pause" });
      store.hear({ event: "page_open", recorded: true });
      recording = { about: recorded, player: play(recorded, (event) => store.hear(event)) };
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
