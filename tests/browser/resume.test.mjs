// A reload in the middle of PPO: the page offers to go on, and the losses are those of a lesson that nobody disturbed.

import assert from "node:assert/strict";
import test from "node:test";

import { open } from "./support/browser.mjs";
import { eventsOf, hear, isOver, isSaved, reload, stepsDone, stepsOf } from "./support/heard.mjs";
import { undisturbed } from "./support/undisturbed.mjs";
import { becomes, button, start } from "./support/visitor.mjs";

test("a lesson goes on after a reload as if nothing had happened", async (t) => {
  const wanted = stepsOf((await undisturbed()).map(([, event]) => event));
  const session = await open();
  const { page, browser } = session;
  t.after(() => browser.close());
  await start(page);
  await hear(page, "an iteration of PPO that is saved", (events) => isSaved(events, "ppo"));
  await reload(page);
  await page.getByText("You left a lesson at PPO, step").waitFor();
  await button(page, "Go on").click();
  await hear(page, "the steps before the reload", (events) => stepsDone(events, "ppo") > 0);
  await becomes(() => page.locator("#bar .progress p > span").first().innerText().then((text) => /^PPO: \d+ of/.test(text)), true, "the bar");

  await hear(page, "the end of PPO", (events) => isOver(events, "ppo"));
  const got = stepsOf(await eventsOf(page));
  for (const run of ["sft", "preferences", "reward", "ppo"]) assert.deepEqual(got[run], wanted[run], run);
  await session.close();
});
