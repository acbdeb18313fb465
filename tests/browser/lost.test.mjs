// The GPU is taken away in the middle of a run: the page says so, goes on by itself from its last checkpoint, and ends with the losses of a
// lesson that nobody disturbed.

import assert from "node:assert/strict";
import test from "node:test";

import { open } from "./support/browser.mjs";
import { eventsOf, hear, isOver, isSaved, stepsDone, stepsOf } from "./support/heard.mjs";
import { undisturbed } from "./support/undisturbed.mjs";
import { start } from "./support/visitor.mjs";

/** Keeps the devices of the page's present worker where `lose` finds them. @param {import("playwright-core").Page} page */
async function watchDevices(page) {
  const worker = await presentWorker(page);
  await worker.evaluate(() => {
    const request = GPUAdapter.prototype.requestDevice;
    const devices = [];
    Object.assign(self, { devices });
    GPUAdapter.prototype.requestDevice = async function (...args) {
      const device = await request.apply(this, args);
      devices.push(device);
      return device;
    };
  });
}

/** @param {import("playwright-core").Page} page */
async function presentWorker(page) {
  await hear(page, "the worker's first word", (events) => events.some(({ event }) => event === "ready"), 60);
  const worker = page.workers().at(-1);
  assert(worker, "the page has a worker");
  return worker;
}

test("a lost device costs seconds, not the lesson", async (t) => {
  const wanted = stepsOf((await undisturbed()).map(([, event]) => event));
  const session = await open();
  const { page, browser } = session;
  t.after(() => browser.close());
  await watchDevices(page);
  await start(page);
  await hear(page, "an iteration of PPO that is saved", (events) => isSaved(events, "ppo"));
  const before = stepsDone(await eventsOf(page), "ppo");

  const worker = await presentWorker(page);
  const destroyed = await worker.evaluate(() => devices.map((device) => device.destroy()).length);
  assert.ok(destroyed > 0, "the worker had a device");
  await hear(page, "the loss", (events) => events.some(({ event }) => event === "lost"), 60);
  await page.locator(".notice.warn").getByText("the page goes on from the last checkpoint").waitFor({ timeout: 120_000 });

  await hear(page, "an iteration beyond the loss", (events) => stepsDone(events, "ppo") > before);
  await hear(page, "the end of PPO", (events) => isOver(events, "ppo"));
  const got = stepsOf(await eventsOf(page));
  for (const run of ["sft", "preferences", "reward", "ppo"]) assert.deepEqual(got[run], wanted[run], run);
  await session.close();
});
