// @ts-check
import assert from "node:assert/strict";
import test from "node:test";

import { read, write } from "../page/address.js";

test("what was written is read again", () => {
  const address = { preset: "small", seed: 7, beta: 0.05, lang: /** @type {const} */ ("zh"), theme: /** @type {const} */ ("dark"), station: "ppo", hide: ["seed", "fork"] };
  assert.equal(write(address), "#preset=small&seed=7&beta=0.05&lang=zh&theme=dark&station=ppo&hide=seed,fork");
  assert.deepEqual(read(write(address)), address);
});

test("an empty address is empty", () => {
  const nothing = { preset: null, seed: null, beta: null, lang: null, theme: null, station: null, hide: [] };
  assert.deepEqual(read(""), nothing);
  assert.deepEqual(read(write(nothing)), nothing);
});

test("what makes no sense is left out", () => {
  const { seed, beta, lang, theme, station, hide } = read("#seed=1.5&beta=-1&lang=fr&theme=<b>&station=%3Cimg%3E&hide=a,%22,b");
  assert.deepEqual([seed, beta, lang, theme, station, hide], [null, null, null, null, null, ["a", "b"]]);
  assert.equal(read("#seed=&beta=Infinity").seed, null);
  assert.equal(read("#seed=99999999999999999999").seed, null);
});
