// The browser's storage has one owner, and it may be full.

import assert from "node:assert/strict";
import test from "node:test";

import { open } from "./support/browser.mjs";
import { eventsOf, hear, listen, reload, stepsOf } from "./support/heard.mjs";
import { SHORT, bringModel, estimate, rowsOf, set, trained } from "./support/own.mjs";
import { button } from "./support/visitor.mjs";

const OWNED = "Another tab has this page's storage";
const RUN = "own sft";

test("of two tabs one has the storage, and the other says so", async (t) => {
  const { page, browser, close } = await open();
  t.after(() => browser.close());
  const isReady = (/** @type {any[]} */ events) => events.some(({ event }) => event === "ready");
  await hear(page, "the first worker", isReady, 60);
  const second = await page.context().newPage();
  await listen(second);
  await second.goto(page.url());
  await second.getByText(OWNED).waitFor();
  assert.ok((await eventsOf(page)).every(({ event }) => event !== "warning"), "the first one is not disturbed");
  await page.close();
  await reload(second);
  await hear(second, "the second worker again", isReady, 60);
  assert.ok(!(await second.getByText(OWNED).isVisible()), "the storage is free");
  await close();
});

test("a full disk ends the run, and what was kept before is whole", async (t) => {
  const { page, browser, close } = await open();
  t.after(() => browser.close());
  const wire = await page.context().newCDPSession(page);
  const { origin } = new URL(page.url());
  await bringModel(page);
  await set(page, { ...SHORT, max_steps: 100_000, save_steps: 2 });
  assert.deepEqual((await estimate(page, rowsOf(4))).problems, []);
  await button(page, "Train").click();
  await hear(page, "a checkpoint", (events) => events.some(({ event }) => event === "checkpoint"));
  await wire.send("Storage.overrideQuotaForOrigin", { origin, quotaSize: 1000 });
  const { message } = await hear(page, "the end of the run", (events) => events.find(({ event }) => event === "failed"));
  assert.match(message, /^storage: own\/run\/.*exceed its storage quota/);
  await page.getByText("exceed its storage quota").first().waitFor();
  const done = Object.keys(stepsOf(await eventsOf(page))[RUN]).length;
  await wire.send("Storage.overrideQuotaForOrigin", { origin });
  await reload(page);
  await page.getByText("Your run of SFT was interrupted at step").waitFor();
  await button(page, "Go on").click();
  await hear(page, "more steps", (events) => Object.keys(stepsOf(events)[RUN] ?? {}).length > done);
  await button(page, "Stop and keep the model").click();
  await trained(page, RUN);
  await close();
});
