// @ts-check
// Where things go in a picture: pure arithmetic of axes, bins and peaks.

/** @import { Run } from "./types.js" */

/** @param {[number, number]} domain @param {[number, number]} range @returns {(value: number) => number} */
export function linear([d0, d1], [r0, r1]) {
  const width = d1 - d0 || 1;
  return (value) => r0 + ((value - d0) / width) * (r1 - r0);
}

/** Smallest and largest finite value; `[0, 1]` if there is none. @param {Iterable<number | null | undefined>} values @returns {[number, number]} */
export function extent(values) {
  let [low, high] = [Infinity, -Infinity];
  for (const value of values) {
    if (typeof value !== "number" || !Number.isFinite(value)) continue;
    low = Math.min(low, value);
    high = Math.max(high, value);
  }
  return low > high ? [0, 1] : [low, high];
}

/** Round numbers (1, 2 or 5 times a power of ten apart) within the domain, about `count` of them. @param {[number, number]} domain @param {number} count */
export function ticks([low, high], count) {
  const rough = (high - low) / Math.max(1, count);
  if (!(rough > 0)) return { values: [low], gap: 1 };
  const power = 10 ** Math.floor(Math.log10(rough));
  const gap = power * ([1, 2, 5].find((step) => step * power >= rough * 0.999) ?? 10);
  const first = Math.ceil(low / gap - 1e-9);
  const last = Math.floor(high / gap + 1e-9);
  return { values: Array.from({ length: last - first + 1 }, (_, i) => (first + i) * gap), gap };
}

/** Counts per bin over `domain`, whose upper end belongs to the last bin. @param {number[]} values @param {[number, number]} domain @param {number} count */
export function histogram(values, [low, high], count) {
  const bins = new Array(count).fill(0);
  const width = (high - low) / count || 1;
  for (const value of values) {
    if (!Number.isFinite(value)) continue;
    bins[Math.max(0, Math.min(count - 1, Math.floor((value - low) / width)))] += 1;
  }
  return bins;
}

/** Share of pairs whose chosen answer scores above its rejected one; a tie counts half. @param {number[]} chosen @param {number[]} rejected */
export function shareRankedRightly(chosen, rejected) {
  const pairs = Math.min(chosen.length, rejected.length);
  if (pairs === 0) return null;
  let right = 0;
  for (let i = 0; i < pairs; i += 1) right += chosen[i] > rejected[i] ? 1 : chosen[i] === rejected[i] ? 0.5 : 0;
  return right / pairs;
}

/**
 * Runs as columns over the union of their steps, `null` where a run has no value: first the steps, then per run one column per metric.
 * @param {Run[]} runs @param {string[]} metrics @returns {(number | null)[][]}
 */
export function align(runs, metrics) {
  const steps = [...new Set(runs.flatMap((run) => run.steps.map(({ step }) => step)))].sort((a, b) => a - b);
  const place = new Map(steps.map((step, i) => [step, i]));
  const columns = runs.flatMap((run) =>
    metrics.map((metric) => {
      const column = new Array(steps.length).fill(null);
      for (const { step, metrics: values } of run.steps) {
        const value = values[metric];
        if (Number.isFinite(value)) column[/** @type {number} */ (place.get(step))] = value;
      }
      return column;
    }),
  );
  return [steps, ...columns];
}

/**
 * Where the mean of three neighbours is largest, if the column has come down from there since.
 * @param {(number | null)[]} column @returns {{index: number, value: number} | null}
 */
export function peak(column) {
  const known = column.flatMap((value, index) => (value === null ? [] : [{ value, index }]));
  const means = known.slice(2).map(({ value }, i) => (known[i].value + known[i + 1].value + value) / 3);
  if (means.length < 2) return null;
  const at = means.indexOf(Math.max(...means));
  return at < means.length - 1 ? { index: known[at + 1].index, value: means[at] } : null;
}

/** Moves positions apart until neighbours are `gap` apart, keeping their order and staying within the limits where there is room. @param {number[]} wanted @param {number} gap @param {[number, number]} limits */
export function spread(wanted, gap, [low, high]) {
  const order = wanted.map((_, i) => i).sort((a, b) => wanted[a] - wanted[b]);
  const places = [...wanted];
  order.forEach((i, k) => {
    places[i] = Math.max(places[i], k === 0 ? low : places[order[k - 1]] + gap);
  });
  let ceiling = high;
  for (const i of order.reverse()) {
    places[i] = Math.min(places[i], ceiling);
    ceiling = places[i] - gap;
  }
  return places;
}
