// @ts-check
// What a visitor does to a ranking, without its picture. An order lists answers' numbers, best first.

/** @typedef {{order: number[], placed: number}} Draft the first `placed` answers have been given their rank by the visitor */

/** @param {number} count @returns {Draft} */
export function unranked(count) {
  return { order: Array.from({ length: count }, (_, i) => i), placed: 0 };
}

/** Clicking gives an answer the next rank; clicking one that has a rank takes it away. @param {Draft} draft @param {number} answer @returns {Draft} */
export function click({ order, placed }, answer) {
  const at = order.indexOf(answer);
  const rest = order.filter((other) => other !== answer);
  if (at < placed) {
    const unplaced = [...rest.slice(placed - 1), answer].sort((a, b) => a - b);
    return { order: [...rest.slice(0, placed - 1), ...unplaced], placed: placed - 1 };
  }
  const next = placed + 1;
  // The last one left has only one rank to take.
  return { order: [...rest.slice(0, placed), answer, ...rest.slice(placed)], placed: next === order.length - 1 ? order.length : next };
}

/** Moving an answer means that the order seen is the order meant. @param {Draft} draft @param {number} answer @param {number} to @returns {Draft} */
export function move({ order }, answer, to) {
  const rest = order.filter((other) => other !== answer);
  const place = Math.max(0, Math.min(rest.length, to));
  return { order: [...rest.slice(0, place), answer, ...rest.slice(place)], placed: order.length };
}

/** @param {Draft} draft */
export function isComplete({ order, placed }) {
  return order.length > 0 && placed === order.length;
}

/** Answers by the letters under which they are shown. @param {number} answer */
export function letter(answer) {
  return String.fromCharCode(65 + answer);
}

/** "B > A > C". @param {number[]} order */
export function written(order) {
  return order.map(letter).join(" > ");
}

/**
 * How two orders of the same answers compare, pair by pair; `differ` has the pairs as `mine` puts them.
 * @param {number[]} mine @param {number[]} other
 */
export function agreement(mine, other) {
  const pairs = mine.flatMap((better, i) => mine.slice(i + 1).map((worse) => /** @type {[number, number]} */ ([better, worse])));
  const differ = pairs.filter(([better, worse]) => other.indexOf(better) > other.indexOf(worse));
  return { total: pairs.length, agree: pairs.length - differ.length, differ };
}
