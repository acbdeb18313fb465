// The views' pure parts: formats, scales, colours, per-token values, rankings, words and formulas' numbers.

import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { test } from "node:test";

import { contrast, diverging, inkOn, mix, parse } from "../page/views/colour.js";
import { duration, fixed, grouped, mebibytes, percent, short, signed, tick } from "../page/views/format.js";
import { betaName, splitThanks } from "../page/views/judged.js";
import { agreement, click, isComplete, move, unranked, written } from "../page/views/order.js";
import { align, extent, histogram, linear, peak, shareRankedRightly, spread, ticks } from "../page/views/scales.js";
import { implicitReward, isClipped, logRatios, scaleLimit, tone, valuesOf } from "../page/views/token_values.js";
import { en, zh } from "../page/views/words.js";

test("numbers are written as people read them", () => {
  assert.equal(fixed(-0.001), "0.00");
  assert.equal(fixed(-1.5, 1), "−1.5");
  assert.equal(fixed(undefined), "–");
  assert.equal(signed(0.25), "+0.25");
  assert.equal(signed(0), "0.00");
  assert.deepEqual([0, 1234.5, -123.4, 12.34, 0.5678, 0.0003, -0.0213, 0.0000042].map(short), [
    "0",
    "1,235",
    "−123",
    "12.3",
    "0.57",
    "0.0003",
    "−0.021",
    "4.2·10⁻⁶",
  ]);
  assert.equal(short(NaN), "–");
  assert.deepEqual([tick(0.3, 0.1), tick(-2, 1), tick(0.25, 0.05)], ["0.3", "−2", "0.25"]);
  assert.equal(percent(0.0822, 1), "8.2 %");
  assert.equal(grouped(288862), "288,862");
  assert.equal(mebibytes(99 * 2 ** 20), "99 MiB");
  assert.equal(mebibytes(null), "–");
  const t = (key, params) => `${key.split(".").at(-1)} ${Object.values(params).join(" ")}`;
  assert.deepEqual([duration(t, 4.52), duration(t, 35.2), duration(t, 128)], ["seconds 4.5", "seconds 35", "minutes 2 08"]);
  assert.deepEqual([betaName(0), betaName(0.5), betaName(0.05), betaName(10)], ["β = 0", "β = 0.5", "β = 0.05", "β = 10"]);
});

test("ticks are round, within the domain, and the ends count", () => {
  assert.deepEqual(ticks([0, 10], 5).values, [0, 2, 4, 6, 8, 10]);
  assert.deepEqual(ticks([-0.3, 0.32], 4).values, [-0.2, 0, 0.2]);
  assert.deepEqual(ticks([3, 3], 4).values, [3]);
  assert.equal(linear([0, 4], [10, 30])(1), 15);
  assert.equal(linear([2, 2], [10, 30])(2), 10);
  assert.deepEqual(extent([null, 3, NaN, -1, undefined]), [-1, 3]);
  assert.deepEqual(extent([]), [0, 1]);
});

test("every value is in one bin, the greatest in the last", () => {
  assert.deepEqual(histogram([0, 0.49, 0.5, 1, NaN], [0, 1], 2), [2, 2]);
  assert.deepEqual(histogram([7, 7], [7, 7], 3), [2, 0, 0]);
  assert.equal(shareRankedRightly([2, 1, 0, 5], [1, 2, 0]), 0.5);
  assert.equal(shareRankedRightly([], []), null);
});

test("runs are aligned over the union of their steps", () => {
  const runs = [
    {
      name: "a",
      color: 1,
      steps: [
        { step: 1, metrics: { m: 5 } },
        { step: 3, metrics: { m: NaN } },
      ],
    },
    { name: "b", color: 2, steps: [{ step: 2, metrics: { m: 6, n: 8 } }] },
  ];
  assert.deepEqual(align(runs, ["m", "n"]), [
    [1, 2, 3],
    [5, null, null],
    [null, null, null],
    [null, 6, null],
    [null, 8, null],
  ]);
});

test("a peak is the best mean of three, and only once it has passed", () => {
  assert.deepEqual(peak([0, 3, null, 6, 3, 0]), { index: 3, value: 4 });
  assert.equal(peak([0, 1, 2, 3]), null);
  assert.equal(peak([9, 1]), null);
});

test("labels move apart, in order and within their limits", () => {
  assert.deepEqual(spread([50, 50, 52], 10, [0, 100]), [50, 60, 70]);
  assert.deepEqual(spread([95, 99], 10, [0, 100]), [90, 100]);
  assert.deepEqual(spread([30, 10], 10, [0, 100]), [30, 10]);
});

test("text on every cell of the scale is legible", () => {
  for (const panel of [
    [255, 255, 255],
    [26, 32, 41],
  ]) {
    for (let value = -1; value <= 1; value += 0.05) {
      const cell = diverging(value, 1, panel);
      assert.ok(contrast(cell, inkOn(cell)) >= 4.5, `${value} on ${panel}`);
    }
    assert.deepEqual(diverging(0, 1, panel), panel);
  }
  assert.deepEqual(parse("rgb(1, 22, 255)"), [1, 22, 255]);
  assert.deepEqual(parse("#0116ff"), [1, 22, 255]);
  assert.deepEqual(mix([0, 0, 0], [10, 20, 30], 0.5), [5, 10, 15]);
});

test("a token is clipped only in the direction that its advantage rewards", () => {
  assert.deepEqual(
    [isClipped(1.3, 1, 0.2), isClipped(1.3, -1, 0.2), isClipped(0.7, -1, 0.2), isClipped(0.7, 1, 0.2), isClipped(1.1, 1, 0.2)],
    [true, false, true, false, false],
  );
  assert.equal(isClipped(1.3, undefined, 0.2), false);
});

test("what is not known yet is empty, not zero", () => {
  const episode = {
    prompt: "",
    tokens: ["a"],
    score: 0,
    gold: 0,
    logprobs: [-1],
    ref_logprobs: [],
    rewards: [],
    values: [],
    advantages: [],
    ratios: [],
  };
  assert.deepEqual(valuesOf("log_ratio", episode), []);
  assert.deepEqual(valuesOf("ratio", { ...episode, ratios: [1.5] }), [1.5]);
  assert.deepEqual(logRatios({ logprobs: [-1, -2], ref_logprobs: [-2, -1] }), [1, -1]);
  assert.equal(tone("ratio", 1), 0);
  assert.equal(scaleLimit([]), 0.1);
  assert.equal(scaleLimit([0.2, -3]), 3);
});

test("the implicit reward is β times the log-ratio, summed over the answer", () => {
  const { tokens, total } = implicitReward(0.1, { tokens: ["a", "b"], logprobs: [-1, -3], ref_logprobs: [-2, -1] });
  assert.deepEqual(tokens, [0.1, -0.2]);
  assert.ok(Math.abs(total + 0.1) < 1e-12);
});

test("clicks give ranks one after the other; the last answer takes the rank that is left", () => {
  let draft = unranked(4);
  draft = click(draft, 2);
  draft = click(draft, 0);
  assert.deepEqual(draft, { order: [2, 0, 1, 3], placed: 2 });
  assert.equal(isComplete(draft), false);
  assert.deepEqual(click(draft, 2), { order: [0, 1, 2, 3], placed: 1 });
  draft = click(draft, 3);
  assert.deepEqual(draft, { order: [2, 0, 3, 1], placed: 4 });
  assert.equal(isComplete(draft), true);
  assert.deepEqual(click(draft, 0), { order: [2, 3, 1, 0], placed: 3 });
  assert.equal(isComplete(unranked(0)), false);
});

test("moving an answer means the order seen", () => {
  assert.deepEqual(move(unranked(4), 3, 0), { order: [3, 0, 1, 2], placed: 4 });
  assert.deepEqual(move(unranked(3), 0, 9).order, [1, 2, 0]);
  assert.deepEqual(move(unranked(3), 0, -1).order, [0, 1, 2]);
});

test("rankings are compared pair by pair", () => {
  assert.equal(written([1, 0, 3, 2]), "B > A > D > C");
  assert.deepEqual(agreement([0, 1, 2, 3], [1, 0, 2, 3]), { total: 6, agree: 5, differ: [[0, 1]] });
  assert.equal(agreement([0, 1, 2], [2, 1, 0]).agree, 0);
});

test("thanks are cut out whatever their case, and the text is kept whole", () => {
  const text = "It is 7. Thank you thank  you.";
  assert.deepEqual(
    splitThanks(text)
      .filter((part) => part.thanks)
      .map((part) => part.text),
    ["Thank you", "thank  you"],
  );
  assert.equal(
    splitThanks(text)
      .map((part) => part.text)
      .join(""),
    text,
  );
  assert.deepEqual(splitThanks(""), []);
});

test("both languages have the same words with the same blanks", () => {
  assert.deepEqual(Object.keys(en), Object.keys(zh));
  const blanks = (text) => (text.match(/\{\w+\}/g) ?? []).sort();
  for (const key of Object.keys(en)) {
    assert.ok(key.startsWith("view.") && en[key] !== "" && zh[key] !== "", key);
    assert.deepEqual(blanks(en[key]), blanks(zh[key]), key);
  }
});

test("every word that a view asks for by name exists, and the views build no markup from strings", () => {
  const folder = new URL("../page/views/", import.meta.url);
  for (const file of readdirSync(folder).filter((name) => name.endsWith(".js") && !name.startsWith("words"))) {
    const text = readFileSync(new URL(file, folder), "utf8");
    for (const [, key] of text.matchAll(/"(view\.[\w.]+)"/g)) assert.ok(key in en, `${file}: ${key}`);
    for (const [, stem] of text.matchAll(/`(view\.[\w.]+\.)\$\{/g))
      assert.ok(
        Object.keys(en).some((key) => key.startsWith(stem)),
        `${file}: ${stem}`,
      );
    assert.doesNotMatch(text, /innerHTML|outerHTML|insertAdjacentHTML|DOMParser/, file);
  }
});
