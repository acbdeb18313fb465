// @ts-check
// Files that the visitor keeps: a run as events.jsonl (the command line's format), or anything as a download.

/** @import { Run } from "./state.js" */

/** The run's events, one JSON object a line. @param {Run} run */
export function eventLines(run) {
  const started = { event: "started", stage: run.name, total_steps: run.total, parameters: run.parameters, device: run.device };
  const of = (/** @type {string} */ event, /** @type {{step: number}[]} */ list) => list.map((data) => ({ event, ...data }));
  const rank = ["step", "eval", "sample"];
  const during = [...of("step", run.steps), ...of("eval", run.evals), ...of("sample", run.samples)].sort(
    (a, b) => a.step - b.step || rank.indexOf(a.event) - rank.indexOf(b.event),
  );
  const last = run.steps.at(-1)?.step ?? 0;
  const ended = run.status === "finished" ? [{ event: "finished", step: last }] : [];
  return [started, ...during, ...ended].map((event) => `${JSON.stringify(event)}\n`).join("");
}

const OF_A_CURVE = ["started", "step", "eval", "sample", "finished"];

/** What a run of the command line said, under the name of a run on the visitor's own model. @param {string} lines its `events.jsonl` @returns {any[]} */
export function eventsOf(lines) {
  const events = lines.split("\n").filter((line) => line.startsWith("{")).map((line) => JSON.parse(line));
  return events.filter(({ event }) => OF_A_CURVE.includes(event)).map((event) => (event.event === "started" ? { ...event, stage: `own ${event.stage}` } : event));
}

/** Hands `parts` to the visitor as a file. @param {string} name @param {BlobPart[]} parts @param {string} type */
export function download(name, parts, type) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob(parts, { type }));
  link.download = name;
  link.click();
  // The browser has taken hold of the file by the next task; Safari needs a moment more.
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

/** A name that every file system takes. @param {string} name */
export function fileName(name) {
  return name.replaceAll("β=", "beta ").replace(/[^\w.@ -]/g, "").trim().replace(/ +/g, "-");
}
