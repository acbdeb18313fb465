// @ts-check
// What was seen so far: a pure function of the worker's events (crates/evenkeel-core/src/event.rs). Nothing is computed here but order.

/** @import { Answer, Comparison, Cost, Metrics, Phase, Ranked, Ranking, SampleRow, Shown, ShownPair, Token } from "./views/types.js" */
/** @typedef {{step: number, metrics: Metrics}} Point */
/** @typedef {{step: number, kl_coef: number, cliprange: number, episodes: Shown[]}} Iteration */
/**
 * @typedef {object} Run
 * @property {string} name
 * @property {number} total
 * @property {number} parameters
 * @property {string} device
 * @property {Point[]} steps
 * @property {Point[]} evals
 * @property {{step: number, prompt: string, completion: string, score?: number}[]} samples
 * @property {{step: number, rows: Answer[]}[]} answers
 * @property {Token[][] | null} rows
 * @property {{step: number, chosen: number[], rejected: number[]} | null} scores
 * @property {{step: number, rows: {habit: string, reward: number, gold: number}[]} | null} liking
 * @property {{step: number, phase: Phase} | null} phase
 * @property {Iteration[]} episodes
 * @property {{step: number, rows: Answer[]}[]} fooled
 * @property {{step: number, beta: number, pairs: ShownPair[]} | null} pairs
 * @property {Cost | null} cost
 * @property {"running" | "finished" | "failed"} status
 */
/** @typedef {{playing: boolean, stage: string, step: number, total_steps: number, queue: string[], models: string[]}} Lesson */
/**
 * @typedef {object} State
 * @property {any} ready the worker's first word
 * @property {any} device
 * @property {{done: number, total: number} | null} compiling pipelines that are being compiled
 * @property {boolean} opened a lesson was opened (or is being opened)
 * @property {boolean} recorded the events come from a recording
 * @property {Lesson} lesson
 * @property {Record<string, Run>} runs by name, in the order in which they first began
 * @property {string | null} current the run that events without a name belong to
 * @property {{rows: Comparison[], samples: SampleRow[]} | null} comparison
 * @property {Record<number, {model: string, text: string, done: boolean}>} replies
 * @property {Question[]} questions what the models were asked, newest first
 * @property {Ranking | null} ranking
 * @property {Ranked | null} ranked
 * @property {{text: string, steps: number, bytes: number, seconds: number | null, problems: string[]} | null} estimate
 * @property {{name: string, files: {name: string, bytes: Uint8Array}[]} | null} folder
 * @property {{stage: string, step: number} | null} saved
 * @property {{kind: "open" | "failed" | "lost", message: string, stage: string | null} | null} problem what stopped the work
 * @property {string[]} warnings the latest, newest last
 * @property {Look} look
 */
/** @typedef {{prompt: string, asked: {id: number, model: string}[]}} Question */
/** @typedef {{run: string | null, step: number | null, hidden: string[]}} Look the PPO run and iteration looked at (null: the latest), and runs left out of the overlays */

/** Iterations whose episodes and fooling answers are kept, for scrubbing; the worker keeps as many for a page that is opened again. */
const ITERATIONS_KEPT = 40;
const WARNINGS_KEPT = 5;
const QUESTIONS_KEPT = 6;

/** @type {Lesson} */
const NOTHING_YET = { playing: false, stage: "", step: 0, total_steps: 0, queue: [], models: [] };

/** @returns {State} */
export function initial() {
  return {
    ready: null,
    device: null,
    compiling: null,
    opened: false,
    recorded: false,
    lesson: NOTHING_YET,
    runs: {},
    current: null,
    comparison: null,
    replies: {},
    questions: [],
    ranking: null,
    ranked: null,
    estimate: null,
    folder: null,
    saved: null,
    problem: null,
    warnings: [],
    look: { run: null, step: null, hidden: [] },
  };
}

/**
 * Events of the page's own: `page_open` (everything is forgotten but what the worker said of itself), `page_leave` (everything is),
 * `page_kept` (what can be gone on with), `page_dismiss`, `page_look` and `page_ask`.
 * @param {State} state @param {any} event @returns {State}
 */
export function reduce(state, event) {
  switch (event.event) {
    case "page_open":
      return { ...initial(), ready: state.ready, opened: true, recorded: event.recorded };
    case "page_leave":
      return initial();
    case "page_kept":
      return { ...state, ready: { ...state.ready, ...event.kept } };
    case "page_dismiss":
      return { ...state, problem: null, warnings: [] };
    case "page_look":
      return { ...state, look: { ...state.look, ...event.look } };
    case "page_ask":
      return { ...state, questions: [event.question, ...state.questions].slice(0, QUESTIONS_KEPT) };
    case "ready":
      return { ...initial(), ready: event };
    case "device":
      return { ...state, device: event };
    case "kept":
      return { ...state, ready: { ...state.ready, own: event.own } };
    case "compiling":
      return { ...state, compiling: event.done < event.total ? { done: event.done, total: event.total } : null };
    case "state": {
      const { event: _, ...lesson } = event;
      return { ...state, lesson };
    }
    case "started":
      return started(state, event);
    case "cost":
      return state.runs[event.stage] ? withRun(state, event.stage, () => ({ cost: event })) : state;
    case "compared":
      return { ...state, comparison: { rows: event.rows, samples: event.samples } };
    case "reply":
      return { ...state, replies: { ...state.replies, [event.id]: event } };
    case "ranking":
      return { ...state, ranking: event, ranked: null };
    case "ranked":
      return { ...state, ranked: event };
    case "estimate":
      return { ...state, estimate: event };
    case "folder":
      return { ...state, folder: event };
    case "saved":
      return { ...state, saved: { stage: event.stage, step: event.step } };
    case "checkpoint":
      return state;
    case "warning":
      return { ...state, warnings: [...state.warnings, event.message].slice(-WARNINGS_KEPT) };
    case "lost":
      return { ...state, lesson: { ...state.lesson, playing: false }, problem: { kind: "lost", message: event.message, stage: state.current } };
    case "failed": {
      const kind = state.current === null ? "open" : "failed";
      const failed = inRun(state, () => ({ status: /** @type {const} */ ("failed") }));
      return { ...failed, opened: state.current !== null, problem: { kind, message: event.message, stage: state.current } };
    }
    default:
      return inRun(state, (run) => change(run, event));
  }
}

/** The steps of a run, each with the held-out metrics that were taken after it. @param {Run} run @returns {Point[]} */
export function curve(run) {
  if (run.evals.length === 0) return run.steps;
  const byStep = new Map(run.steps.map((point) => [point.step, point]));
  for (const { step, metrics } of run.evals) byStep.set(step, { step, metrics: { ...byStep.get(step)?.metrics, ...metrics } });
  return [...byStep.values()].sort((a, b) => a.step - b.step);
}

/** @param {State} state @param {any} event @returns {State} */
function started(state, event) {
  /** @type {Run} */
  const run = {
    name: event.stage,
    total: event.total_steps,
    parameters: event.parameters,
    device: event.device,
    steps: [],
    evals: [],
    samples: [],
    answers: [],
    rows: null,
    scores: null,
    liking: null,
    phase: null,
    episodes: [],
    fooled: [],
    pairs: null,
    cost: null,
    status: "running",
  };
  return { ...state, current: run.name, runs: { ...state.runs, [run.name]: run } };
}

/** What an event changes in the run that it belongs to. @param {Run} run @param {any} event @returns {Partial<Run>} */
function change(run, event) {
  const { event: kind, ...data } = event;
  switch (kind) {
    case "step":
      return { steps: [...run.steps, data] };
    case "eval":
      return { evals: [...run.evals, data] };
    case "sample":
      return { samples: [...run.samples, data].slice(-ITERATIONS_KEPT) };
    case "answers":
      // The first answers stay, to be compared with.
      return { answers: [...run.answers.slice(0, 1), ...replaced(run.answers.slice(1), data)] };
    case "rows":
      return { rows: data.rows };
    case "scores":
    case "liking":
    case "phase":
    case "pairs":
      return { [kind]: data };
    case "episodes":
      return { episodes: replaced(run.episodes, data) };
    case "fooled":
      return { fooled: replaced(run.fooled, data) };
    case "finished":
      return { status: "finished", phase: null };
    default:
      throw new Error(`unknown event: ${kind}`);
  }
}

/** `list` with `item` at its end, in the place of an earlier one of that step. @template {{step: number}} T @param {T[]} list @param {T} item */
function replaced(list, item) {
  return [...list.filter((earlier) => earlier.step !== item.step), item].slice(-ITERATIONS_KEPT);
}

/** @param {State} state @param {(run: Run) => Partial<Run>} update @returns {State} */
function inRun(state, update) {
  return state.current === null ? state : withRun(state, state.current, update);
}

/** @param {State} state @param {string} name @param {(run: Run) => Partial<Run>} update @returns {State} */
function withRun(state, name, update) {
  const run = state.runs[name];
  return { ...state, runs: { ...state.runs, [name]: { ...run, ...update(run) } } };
}
