// @ts-check
// Plays a run that was recorded on another device, through the same reducer as a live one.

/** @typedef {{device: string, date: string, command: string, events: [number, any][]}} Recording events with the second at which they came */

/** Events handed on at a time, so that a fast replay does not hold up the page. */
const AT_ONCE = 20;
const LONGEST_WAIT_MS = 250;

/** @param {typeof fetch} get @returns {Promise<Recording>} */
export async function load(get) {
  const response = await get(new URL("./recording.json", import.meta.url));
  if (!response.ok) throw new Error(`recording.json: ${response.status}`);
  return response.json();
}

/**
 * @param {Recording} recording @param {(event: any) => void} hear
 * @param {{now?: () => number, wait?: (run: () => void, ms: number) => unknown}} [clock] milliseconds; by default the browser's
 */
export function play(recording, hear, { now = () => performance.now(), wait = setTimeout } = {}) {
  let next = 0;
  let at = recording.events[0]?.[0] ?? 0;
  let speed = 1;
  let playing = false;
  let before = 0;
  /** Timers of an earlier `resume` find another number and end. */
  let turn = 0;

  const tick = (/** @type {number} */ mine) => {
    if (!playing || mine !== turn) return;
    const time = now();
    at += ((time - before) / 1000) * speed;
    before = time;
    for (let i = 0; i < AT_ONCE && next < recording.events.length && recording.events[next][0] <= at; i += 1, next += 1) {
      hear(recording.events[next][1]);
    }
    if (next >= recording.events.length) {
      playing = false;
      return;
    }
    const due = ((recording.events[next][0] - at) / speed) * 1000;
    wait(() => tick(mine), Math.min(LONGEST_WAIT_MS, Math.max(0, due)));
  };

  return {
    resume() {
      playing = true;
      before = now();
      turn += 1;
      tick(turn);
    },
    pause() {
      playing = false;
    },
    /** @param {number} times */
    setSpeed(times) {
      speed = times;
    },
    get playing() {
      return playing;
    },
    get over() {
      return next >= recording.events.length;
    },
  };
}
