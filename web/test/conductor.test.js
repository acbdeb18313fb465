// @ts-check
// What the page does by itself when its worker loses the device.
import assert from "node:assert/strict";
import test from "node:test";

import { createConductor } from "../page/conductor.js";
import { initial, reduce } from "../page/state.js";

const PLAN = { seed: 7, kl_coef: 0.5 };
const STATE = { event: "state", playing: true, stage: "sft", step: 3, total_steps: 9, queue: [], models: [] };

/** A page whose worker is played by the test. */
function page() {
  let state = initial();
  /** @type {any[]} */
  const sent = [];
  /** @type {(event: any) => void} */
  let say = () => {};
  const store = { get state() { return state; }, hear: (/** @type {any} */ event) => void (state = reduce(state, event)) };
  const settings = { plan: () => PLAN, adopt() {} };
  const session = { send: (/** @type {any} */ command) => sent.push(command), restart: () => sent.push({ command: "(restart)" }), free() {} };
  const conductor = createConductor(/** @type {any} */ (store), /** @type {any} */ (settings), (hear) => {
    say = hear;
    return session;
  });
  conductor.start();
  const tell = (/** @type {any[]} */ ...events) => events.forEach((event) => say(event));
  return { conductor, store, tell, commands: () => sent.splice(0).map(({ command }) => command) };
}

/** @param {any} [unfinished] */
function ready(unfinished) {
  return { event: "ready", version: "", plans: {}, recipes: {}, unfinished };
}

function playing() {
  const it = page();
  it.tell(ready());
  it.conductor.open(true);
  it.tell({ event: "device", name: "" }, { ...STATE, playing: false }, { event: "started", stage: "sft", total_steps: 9 }, STATE, { event: "saved", stage: "sft", step: 2 });
  assert.deepEqual(it.commands(), ["open", "resume"]);
  return it;
}

test("a lost device is replaced without a word from the visitor, and the page says so", () => {
  const { store, tell, commands } = playing();
  // The step in progress fails first.
  tell({ event: "failed", step: 4, message: "" }, { ...STATE, playing: false }, { event: "lost", message: "Gone." });
  assert.deepEqual(commands(), ["(restart)"]);
  tell(ready({ plan: PLAN, stage: "sft", step: 2 }));
  tell({ event: "device", name: "" }, { ...STATE, playing: false });
  assert.deepEqual(commands(), ["open", "resume"]);
  assert.equal(store.state.problem, null);
  assert.match(store.state.warnings[0], /^Gone\. /);
});

test("lost again before anything was saved: the visitor decides", () => {
  const { store, tell, commands } = playing();
  tell({ event: "lost", message: "Gone." }, ready({ plan: PLAN, stage: "sft", step: 2 }));
  commands();
  tell({ event: "lost", message: "Gone again." });
  assert.deepEqual(commands(), []);
  assert.equal(store.state.problem?.kind, "lost");
});

test("what was paused stays paused, and what was not begun is not begun", () => {
  const { conductor, store, tell, commands } = playing();
  conductor.send({ command: "pause" });
  tell({ ...STATE, playing: false }, { event: "lost", message: "Gone." }, ready({ plan: PLAN, stage: "sft", step: 2 }));
  tell({ event: "device", name: "" }, { ...STATE, playing: false });
  assert.deepEqual(commands(), ["pause", "(restart)", "open"]);
  assert.equal(store.state.lesson.playing, false);
  const idle = page();
  idle.tell(ready(), { event: "lost", message: "Gone." }, ready());
  assert.deepEqual(idle.commands(), ["(restart)"]);
  assert.equal(idle.store.state.opened, false);
});
