// @ts-check
// Both languages say everything, nothing is said that nobody uses, and index.html says the same as the dictionary.
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import test from "node:test";

import { en, zh } from "../page/words/index.js";

const web = new URL("../", import.meta.url);
const index = readFileSync(new URL("../../index.html", import.meta.url), "utf8");
const sources = files(new URL("page/", web)).filter((name) => !/words(_en|_zh)?\.js$|words\//.test(name));
const source = sources.map((name) => readFileSync(new URL(`page/${name}`, web), "utf8")).join("\n") + index;

test("both dictionaries have the same keys", () => {
  assert.deepEqual(Object.keys(zh).sort(), Object.keys(en).sort());
});

test("both languages fill in the same numbers", () => {
  const blanks = (/** @type {string} */ text) => (text.match(/\{\w+\}/g) ?? []).sort();
  for (const key of Object.keys(en)) assert.deepEqual(blanks(zh[key]), blanks(en[key]), key);
});

test("nothing is left untranslated", () => {
  // Questions to the models are in the models' language, names of features in WebGPU's.
  const meant = ["chat.placeholder", "device.subgroups"];
  const hasWords = (/** @type {string} */ text) => /[a-z]{3}/.test(text.replace(/\{\w+\}/g, ""));
  const same = Object.keys(en).filter((key) => zh[key] === en[key] && hasWords(en[key]) && !meant.includes(key));
  assert.deepEqual(same, []);
});

test("every key is used", () => {
  // A key may be put together: `why.${aim}_text`.
  const patterns = [...source.matchAll(/[`"']([a-z][\w.]*\.(?:[\w.-]|\$\{[^}]*\})+)[`"']/g)].map(([, key]) => key);
  const made = patterns.map((key) => new RegExp(`^${key.split(/\$\{[^}]*\}/).map(escaped).join("[\\w-]+")}$`));
  const unused = Object.keys(en).filter((key) => !made.some((pattern) => pattern.test(key)));
  assert.deepEqual(unused, []);
});

test("index.html says in English what the dictionary says", () => {
  const said = [...index.matchAll(/data-words="([\w.]+)"[^>]*>([^<]*)</g), ...[...index.matchAll(/="([^"]*)" data-words-[\w-]+="([\w.]+)"/g)].map(([all, text, key]) => [all, key, text])];
  assert.ok(said.length > 30);
  for (const [, key, text] of said) assert.equal(text, en[key], key);
});

/** @param {string} text */
function escaped(text) {
  return text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
}

/** @param {URL} folder */
function files(folder) {
  return readdirSync(folder, { recursive: true }).map(String).filter((name) => name.endsWith(".js"));
}
