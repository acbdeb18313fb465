// A reload in the middle of a run on the visitor's own model: the page offers to go on, and the losses are those of a run that nobody disturbed.

import assert from "node:assert/strict";
import test from "node:test";

import { open } from "./support/browser.mjs";
import { hear, reload, stepsOf } from "./support/heard.mjs";
import { SHORT, bringModel, estimate, rowsOf, set, trained } from "./support/own.mjs";
import { button, choice } from "./support/visitor.mjs";

const RUN = "own sft";
const STEPS = 6;

test("a run on the visitor's own model goes on after a reload as if nothing had happened", async (t) => {
  const session = await open();
  const { page, browser } = session;
  t.after(() => browser.close());
  await bringModel(page);
  await set(page, { ...SHORT, max_steps: STEPS, save_steps: 2 });
  const begin = async () => {
    assert.deepEqual((await estimate(page, rowsOf(4))).problems, []);
    await button(page, "Train").click();
  };

  await begin();
  const wanted = stepsOf(await trained(page, RUN))[RUN];
  assert.equal(Object.keys(wanted).length, STEPS);

  await reload(page);
  assert.ok(!(await page.getByText("was interrupted at step").isVisible()), "a run that ended leaves nothing to go on with");
  await bringModel(page);
  await set(page, { ...SHORT, max_steps: STEPS, save_steps: 2 });
  await begin();
  await hear(page, "a checkpoint", (events) => events.some(({ event }) => event === "checkpoint"));
  await reload(page);
  await page.getByText("Your run of SFT was interrupted at step").waitFor();
  await button(page, "Go on").click();
  const events = await trained(page, RUN);
  assert.deepEqual(stepsOf(events)[RUN], wanted);
  assert.ok(events.filter(({ event }) => event === "checkpoint").length < STEPS / 2, "what was done before is not done again");
  await session.close();
});

test("a reward model of one's own judges PPO after a reload", async (t) => {
  const session = await open();
  const { page, browser } = session;
  t.after(() => browser.close());
  await bringModel(page);
  const beginnings = ["Once upon", "One day", "A cat", "The sun"];
  const pairs = beginnings.map((prompt) => JSON.stringify({ prompt, chosen: " was happy", rejected: " no no no" }));
  const prompts = beginnings.map((prompt) => JSON.stringify({ prompt }));
  await choice(page, "own", "Trainer").selectOption("ppo");
  assert.match((await estimate(page, prompts)).problems[0], /PPO needs a reward model/);

  await choice(page, "own", "Trainer").selectOption("reward");
  await set(page, { ...SHORT, max_steps: 1 });
  assert.deepEqual((await estimate(page, pairs)).problems, []);
  await button(page, "Train").click();
  await trained(page, "own reward");

  await reload(page);
  await bringModel(page);
  await choice(page, "own", "Trainer").selectOption("ppo");
  await set(page, { max_length: SHORT.max_length, max_steps: 1, rollout_batch_size: 4, response_length: 4 });
  assert.deepEqual((await estimate(page, prompts)).problems, []);
  await button(page, "Train").click();
  const [first] = Object.values(stepsOf(await trained(page, "own ppo"))["own ppo"]);
  assert.ok(Number.isFinite(first["objective/scores"]), "the reward model scored the answers");
  await session.close();
});

test("a run is stopped by hand, and what it has learnt is kept", async (t) => {
  const session = await open();
  const { page, browser } = session;
  t.after(() => browser.close());
  await bringModel(page);
  await set(page, { ...SHORT, max_steps: 100_000 });
  const stop = button(page, "Stop and keep the model");
  assert.ok(!(await stop.isVisible()), "there is nothing to stop yet");
  assert.deepEqual((await estimate(page, rowsOf(4))).problems, []);
  await button(page, "Train").click();
  await hear(page, "a step", (events) => Object.keys(stepsOf(events)[RUN] ?? {}).length > 0);
  await stop.click();
  const events = await trained(page, RUN);
  assert.match(events.findLast(({ event }) => event === "finished").reason, /stopped on request/);
  await stop.waitFor({ state: "hidden" });
  await session.close();
});
