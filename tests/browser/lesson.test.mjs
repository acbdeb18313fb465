// The whole lesson in one browser session, as a visitor plays it: from the one button to the comparison, and everything that can be done to
// it on the way. Up to the comparison nothing is done that changes a number, so that other tests can compare theirs with it.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test from "node:test";

import { open } from "./support/browser.mjs";
import { eventsOf, hear, heardWhole, isDone, isOver, isPaused, stepsDone, stepsOf, totalSteps } from "./support/heard.mjs";
import { WHOLE_LESSON_SECONDS, keep } from "./support/undisturbed.mjs";
import { becomes, button, choice, download, downloadModel, goTo, rank, speak, start } from "./support/visitor.mjs";
import { heapOf, watchTasks } from "./support/watch.mjs";

const LONGEST_TASK_MS = 50;
/** Stretches of PPO's 50 iterations in which the main thread is watched. */
const WINDOWS = 3;
const WINDOW_ITERATIONS = 8;
const MEBIBYTE = 2 ** 20;
/** Curves, texts and the latest iterations' tokens are kept, and no more: a PPO run of this lesson adds a fraction of this. */
const HEAP_GROWTH = 4 * MEBIBYTE;
const STAGES = ["sft", "preferences", "reward", "ppo", "ppo β=0", "dpo", "compare"];
const NASTY = "<img src=x onerror=alert(1)>";
const FORK = { kl_coef: 0.1, moved: 0.3 };

test("the lesson, from the one button to the comparison, and what a visitor does to it", async (t) => {
  const session = await open();
  const { page, browser } = session;
  t.after(() => browser.close());
  /** A part without which the next ones make no sense. @param {string} name @param {() => Promise<void>} work */
  const part = async (name, work) => {
    let done = false;
    await t.test(name, async () => {
      await work();
      done = true;
    });
    if (!done) throw new Error(`what follows “${name}” was not run`);
  };
  const standing = () => page.locator("#bar .progress p > span").first().innerText();
  const stepsSoFar = async (/** @type {string} */ run) => stepsDone(await eventsOf(page), run);
  let heap = 0;

  await part("one button starts it", async () => {
    await start(page);
    await hear(page, "the first steps of SFT", (events) => stepsDone(events, "sft") >= 2);
  });

  await part("it pauses, takes a single step, and plays on", async () => {
    await button(page, "Pause").click();
    await hear(page, "the pause", isPaused);
    const before = await stepsSoFar("sft");
    await becomes(standing, `SFT: ${before} of ${totalSteps(await eventsOf(page), "sft")}, paused`, "the bar");
    await button(page, "Step").click();
    await hear(page, "a single step", (events) => stepsDone(events, "sft") === before + 1);
    await page.waitForTimeout(1000);
    assert.equal(await stepsSoFar("sft"), before + 1, "one step and no more");
    await button(page, "Play").click();
    await hear(page, "the next step", (events) => stepsDone(events, "sft") > before + 1);
  });

  await part("it speaks Chinese while it trains, and English again", async () => {
    await speak(page, "zh");
    await becomes(() => page.locator("html").getAttribute("lang"), "zh-CN", "the language of the document");
    assert.match(await page.locator("#sft-title").innerText(), /有监督微调/);
    assert.match(page.url(), /lang=zh/);
    await speak(page, "en");
    assert.match(await page.locator("#sft-title").innerText(), /Supervised fine-tuning/);
  });

  await part("PPO keeps the main thread free", async () => {
    await goTo(page, "PPO");
    await hear(page, "PPO's first iteration", (events) => stepsDone(events, "ppo") >= 1, WHOLE_LESSON_SECONDS);
    heap = await heapOf(page);
    // Whatever else the machine does can only lengthen a task, so that one window in which all were short tells.
    /** @type {any[]} */
    let longest = [];
    for (let window = 0; window < WINDOWS && !(longest[0]?.cpu <= LONGEST_TASK_MS); window += 1) {
      const stop = await watchTasks(browser);
      const before = await stepsSoFar("ppo");
      await hear(page, "more iterations of PPO", (events) => stepsDone(events, "ppo") >= before + WINDOW_ITERATIONS);
      const watched = await stop();
      assert.ok(watched.count > 100, `the trace holds the page's tasks, not ${watched.count}`);
      longest = watched.longest;
      t.diagnostic(`${watched.count} tasks of the main thread; the longest by their own CPU time: ${JSON.stringify(longest.slice(0, 3))}`);
    }
    const wall = await page.evaluate(() => longTasks);
    t.diagnostic(`tasks over 50 ms on the wall since the page was loaded, whoever held the CPU: ${wall.length}, the longest ${Math.round(Math.max(0, ...wall))} ms`);
    assert.ok(longest[0].cpu <= LONGEST_TASK_MS, `a task of the page used the CPU for ${longest[0].cpu} ms: ${longest[0].ran.join(", ")}`);
  });

  await part("it ends with the comparison", async () => {
    await hear(page, "the end of the lesson", isDone, WHOLE_LESSON_SECONDS);
    const whole = await heardWhole(page);
    keep(whole);
    const events = whole.map(([, event]) => event);
    assert.deepEqual(events.filter(({ event }) => event === "cost").map(({ stage }) => stage), STAGES);
    assert.deepEqual(Object.keys(stepsOf(events)), STAGES);
    const [first] = Object.values(stepsOf(events).dpo);
    assert.ok(Math.abs(first.loss - Math.LN2) < 1e-4, `DPO's loss begins at ln 2, not ${first.loss}`);
    await becomes(standing, "All runs are done.", "the bar's last word");
    await goTo(page, "DPO");
    await page.locator("#dpo .view-compare").scrollIntoViewIfNeeded();
    await page.locator("#dpo .view-compare table").first().waitFor();
  });

  await part("a PPO run is forked, and β moves while the fork runs", async () => {
    await goTo(page, "KL anchor");
    const from = totalSteps(await eventsOf(page), "ppo") - 2;
    const name = `ppo β=${FORK.kl_coef} @${from}`;
    const form = page.locator("#anchor form");
    await form.getByLabel("From").selectOption("ppo");
    await form.getByLabel("After iteration").fill(String(from));
    await form.getByLabel("with β").fill(String(FORK.kl_coef));
    await button(page, "Fork").click();
    await hear(page, "the fork", (events) => totalSteps(events, name));
    await button(page, "Pause").click();
    await hear(page, "the pause", isPaused);
    if ((await stepsSoFar(name)) === 0) await button(page, "Step").click();
    await hear(page, "the fork's first iteration", (events) => stepsDone(events, name) === 1 && isPaused(events));
    await page.locator("#anchor input[type=range]").fill(String(FORK.moved));
    await button(page, "Play").click();
    await hear(page, "the end of the fork", (events) => isOver(events, name));
    const steps = stepsOf(await eventsOf(page))[name];
    assert.deepEqual(Object.keys(steps).map(Number), [from + 1, from + 2]);
    assert.deepEqual(Object.values(steps).map((metrics) => metrics["objective/kl_coef"]), [FORK.kl_coef, FORK.moved]);
  });

  await part("the visitor labels three rankings by keyboard", async () => {
    await goTo(page, "Reward model");
    for (let count = 1; count <= 3; count += 1) {
      await rank(page);
      const ranked = await hear(page, "the ranking's result", (events) => events.find((event) => event.event === "ranked" && event.count === count), 60);
      assert.deepEqual(ranked.order, [0, 1, 2, 3]);
    }
    await page.getByText("Your rankings so far: 3").first().waitFor();
  });

  await part("what a visitor or a model writes is shown as text", async () => {
    await goTo(page, "Chat");
    await page.getByLabel("Your question").fill(NASTY);
    await button(page, "Ask").click();
    await becomes(() => page.locator("#chat .reply .said:not(.growing)").count(), 4, "an answer of every model that was asked");
    assert.equal(await page.locator("#chat h3").first().innerText(), NASTY);
    // No model of this size writes HTML: its worker is made to say that one did.
    await page.evaluate((text) => say({ event: "reply", id: 1, model: "base", text, done: true }), NASTY);
    await becomes(() => page.locator("#chat .reply p").first().innerText(), NASTY, "the model's text");
    assert.equal(await page.locator("img, script:not([src])").count(), 0);
  });

  await part("a model is downloaded in Hugging Face's layout", async () => {
    await goTo(page, "Your own");
    await choice(page, "own", "Model").selectOption("ppo");
    await downloadModel(page);
  });

  await part("a run is downloaded as the events that it was made of", async () => {
    await choice(page, "own", "Run").selectOption("dpo");
    const lines = readFileSync(await download(page, "Download the run (JSONL)"), "utf8").trim().split("\n");
    const events = lines.map((line) => JSON.parse(line));
    assert.deepEqual(stepsOf(events).dpo, stepsOf(await eventsOf(page)).dpo);
  });

  await part("memory is flat, the console clean, and no other host was asked", async () => {
    const growth = (await heapOf(page)) - heap;
    t.diagnostic(`JavaScript's heap grew by ${(growth / MEBIBYTE).toFixed(1)} MiB since PPO's first iteration`);
    assert.ok(growth < HEAP_GROWTH, `the heap grew by ${growth} bytes`);
    await session.close();
  });
});
