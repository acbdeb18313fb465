// Whether the page keeps its main thread free. A task's length on the wall says little on a machine that computes WebGPU on the same two
// cores: whoever else holds the CPU lengthens it. So a task is judged by the CPU time that it used itself, which Chromium's own trace has
// (`tdur`); its length on the wall (PerformanceObserver's "longtask", and the trace's `dur`) is reported beside it.

import { setTimeout as sleep } from "node:timers/promises";

const MICROSECONDS = 1e-3;
const BUFFER_KB = 300_000;
/** A task of every kind, and beneath it what it ran. */
const CATEGORIES = ["disabled-by-default-devtools.timeline", "devtools.timeline"];

/**
 * Traces the main thread of the browser's pages. `stop` gives the longest tasks, longest first.
 * @param {import("playwright-core").Browser} browser
 */
export async function watchTasks(browser) {
  const tracing = await browser.newBrowserCDPSession();
  /** @type {any[]} */
  const events = [];
  tracing.on("Tracing.dataCollected", ({ value }) => events.push(...value.filter(isOfInterest)));
  const traceConfig = { recordMode: "recordUntilFull", traceBufferSizeInKb: BUFFER_KB, includedCategories: CATEGORIES, excludedCategories: ["*"] };
  await tracing.send("Tracing.start", { transferMode: "ReportEvents", traceConfig });
  return async () => {
    const over = new Promise((done) => tracing.once("Tracing.tracingComplete", done));
    await tracing.send("Tracing.end");
    await over;
    await tracing.detach();
    return tasksOf(events);
  };
}

/** @param {any} event */
function isOfInterest({ name, ph }) {
  return name === "thread_name" || (ph === "X" && name !== "UpdateLayer");
}

/** @param {any[]} events */
function tasksOf(events) {
  const thread = ({ pid, tid }) => `${pid} ${tid}`;
  const pages = new Set(events.filter(({ name, args }) => name === "thread_name" && args.name === "CrRendererMain").map(thread));
  const mine = events.filter((event) => pages.has(thread(event)));
  const tasks = mine.filter(({ name }) => name === "RunTask").sort((a, b) => (b.tdur ?? 0) - (a.tdur ?? 0));
  const begun = Math.min(...mine.map(({ ts }) => ts).filter((ts) => ts > 0));
  const within = (/** @type {any} */ task) => mine.filter((each) => each !== task && each.name !== "RunTask" && thread(each) === thread(task) && each.ts >= task.ts && each.ts < task.ts + task.dur);
  return {
    count: tasks.length,
    longest: tasks.slice(0, 5).map((task) => ({
      second: ((task.ts - begun) * MICROSECONDS) / 1000,
      cpu: task.tdur * MICROSECONDS,
      wall: task.dur * MICROSECONDS,
      ran: within(task).sort((a, b) => b.dur - a.dur).slice(0, 4).map(({ name, dur, args }) => `${name} ${Math.round(dur * MICROSECONDS)} ms ${args.data?.url ?? args.data?.functionName ?? ""}`),
    })),
  };
}

/** Bytes that the page's JavaScript holds once its rubbish is gone. @param {import("playwright-core").Page} page */
export async function heapOf(page) {
  const session = await page.context().newCDPSession(page);
  await session.send("HeapProfiler.enable");
  for (let i = 0; i < 3; i += 1) {
    await session.send("HeapProfiler.collectGarbage");
    await sleep(100);
  }
  const { usedSize } = await session.send("Runtime.getHeapUsage");
  await session.detach();
  return usedSize;
}
