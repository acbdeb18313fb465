// The lesson played from start to end with nothing done to it but pauses, which change no number: what other tests compare theirs with.
// lesson.test.mjs, before the others in the alphabet that need it, leaves it here; a test that is run alone, before any other, plays it itself.

import { createHash } from "node:crypto";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { dist, open } from "./browser.mjs";
import { hear, heardWhole, isDone } from "./heard.mjs";

/** Seconds that the whole lesson may take on a machine that does other things too. */
export const WHOLE_LESSON_SECONDS = 900;

/** Every event with the second at which it came. @returns {Promise<[number, any][]>} */
export async function undisturbed() {
  if (!existsSync(file())) await play();
  return JSON.parse(readFileSync(file(), "utf8"));
}

/** @param {[number, any][]} events */
export function keep(events) {
  writeFileSync(file(), JSON.stringify(events));
}

async function play() {
  const session = await open();
  await session.page.getByRole("button", { name: "Start", exact: true }).click();
  await hear(session.page, "the end of the lesson", isDone, WHOLE_LESSON_SECONDS);
  keep(await heardWhole(session.page));
  await session.close();
}

/** Another build may give other numbers. */
function file() {
  const worker = createHash("sha256").update(readFileSync(join(dist(), "worker_bg.wasm"))).digest("hex");
  return join(tmpdir(), `evenkeel-undisturbed-${worker.slice(0, 16)}.json`);
}
