// What the page's worker says, overheard: the page itself exposes nothing to a test that it does not show a visitor.

import { setTimeout as sleep } from "node:timers/promises";

/** @import { Page } from "playwright-core" */
/** @typedef {[seconds: number, event: any][]} Heard events with the second at which they came */

const LOOK_EVERY_MS = 250;

/** @type {WeakMap<Page, Heard>} */
const told = new WeakMap();

/**
 * Has every worker that the page starts overheard from now on. In the page, `heard` has what was not fetched yet, `say` has the worker say
 * something, and `longTasks` has the milliseconds of tasks over 50.
 * @param {Page} page
 */
export async function listen(page) {
  told.set(page, []);
  await page.addInitScript(() => {
    /** @type {[number, any][]} */
    const heard = [];
    /** @type {Worker[]} */
    const workers = [];
    const Native = Worker;
    globalThis.Worker = class extends Native {
      constructor(/** @type {any} */ ...args) {
        super(...args);
        workers.push(this);
        this.addEventListener("message", ({ data }) => heard.push([performance.now() / 1000, data.event === "folder" ? { ...data, files: [] } : data]));
      }
    };
    /** @type {number[]} */
    const longTasks = [];
    new PerformanceObserver((list) => longTasks.push(...list.getEntries().map(({ duration }) => duration))).observe({ type: "longtask" });
    const say = (/** @type {any} */ data) => workers.at(-1)?.dispatchEvent(new MessageEvent("message", { data }));
    Object.assign(globalThis, { heard, say, longTasks });
  });
}

/** Everything that was said. @param {Page} page @returns {Promise<Heard>} */
export async function heardWhole(page) {
  const all = told.get(page) ?? [];
  all.push(...JSON.parse(await page.evaluate(() => JSON.stringify(heard.splice(0)))));
  return all;
}

/** Everything that was said, without the time. @param {Page} page @returns {Promise<any[]>} */
export async function eventsOf(page) {
  return (await heardWhole(page)).map(([, event]) => event);
}

/** What was said is forgotten: the page is loaded anew. @param {Page} page */
export async function reload(page) {
  await page.reload();
  told.set(page, []);
}

/**
 * Waits until something was said.
 * @template T
 * @param {Page} page @param {string} what for the message of a failure
 * @param {(events: any[]) => T} until @param {number} [seconds] patience
 */
export async function hear(page, what, until, seconds = 400) {
  const limit = Date.now() + 1000 * seconds;
  for (;;) {
    const events = await eventsOf(page);
    const found = until(events);
    if (found) return found;
    if (Date.now() > limit) {
      const last = events.slice(-3).map((event) => JSON.stringify(event).slice(0, 300));
      throw new Error(`waited ${seconds} s for ${what}; last heard: ${last.join(" ")}`);
    }
    await sleep(LOOK_EVERY_MS);
  }
}

/**
 * Metrics by run and step; what is told again replaces what was told before. To twelve digits: what a reloaded page is told again was read
 * from JSON, which serde_json does to the last bit but one.
 * @param {any[]} events
 */
export function stepsOf(events) {
  /** @type {Record<string, Record<number, Record<string, number>>>} */
  const runs = {};
  let run = "";
  for (const event of events) {
    if (event.event === "started") {
      run = event.stage;
      runs[run] = {};
    }
    if (event.event === "step") {
      const metrics = Object.entries(event.metrics).map(([name, value]) => [name, Number(Number(value).toPrecision(12))]);
      runs[run][event.step] = Object.fromEntries(metrics);
    }
  }
  return runs;
}

/** Steps done of the run `stage`. @param {any[]} events @param {string} stage */
export function stepsDone(events, stage) {
  return Object.keys(stepsOf(events)[stage] ?? {}).length;
}

/** The steps that the run `stage` will have. @param {any[]} events @param {string} stage */
export function totalSteps(events, stage) {
  return events.find((event) => event.event === "started" && event.stage === stage)?.total_steps;
}

/** Whether the run `stage` has ended. @param {any[]} events @param {string} stage */
export function isOver(events, stage) {
  return events.some((event) => event.event === "cost" && event.stage === stage);
}

/** Whether a step of the run `stage` is in the browser's storage. @param {any[]} events @param {string} stage */
export function isSaved(events, stage) {
  return events.some((event) => event.event === "saved" && event.stage === stage && event.step > 0);
}

/** Whether the whole lesson has been played. @param {any[]} events */
export function isDone(events) {
  return isOver(events, "compare") && isPaused(events);
}

/** @param {any[]} events */
export function isPaused(events) {
  return events.findLast(({ event }) => event === "state")?.playing === false;
}
