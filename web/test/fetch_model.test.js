// @ts-check
import assert from "node:assert/strict";
import test from "node:test";

import { fetchModel, parseAddress } from "../page/fetch_model.js";

const PART = 16 * 2 ** 20;
const WEIGHTS = new Uint8Array(2 * PART + 5).fill(7);
const SERVED = /** @type {Record<string, Uint8Array>} */ ({ "config.json": new Uint8Array(2), "model.safetensors": WEIGHTS });

/** A server that breaks off before answering the request number `breaks`. */
function server(breaks = Infinity) {
  const asked = /** @type {string[]} */ ([]);
  const get = async (/** @type {any} */ url, /** @type {any} */ { headers } = {}) => {
    if (asked.length >= breaks) throw new TypeError("network");
    asked.push(`${String(url).split("/").pop()} ${headers?.Range ?? ""}`);
    if (url.includes("/api/")) {
      const siblings = [...Object.keys(SERVED), "README.md", "pytorch_model.bin"].map((rfilename) => ({ rfilename, size: SERVED[rfilename]?.length ?? 9 }));
      return new Response(JSON.stringify({ sha: "abc", siblings }));
    }
    const [from, to] = headers.Range.match(/\d+/g).map(Number);
    const file = SERVED[url.split("/").pop()];
    return from >= file.length ? new Response(null, { status: 416 }) : new Response(file.slice(from, to + 1), { status: 206 });
  };
  return { asked, get: /** @type {typeof fetch} */ (get) };
}

function memory() {
  const kept = new Map();
  const folder = { read: async (/** @type {string} */ name) => kept.get(name) ?? null, write: async (/** @type {string} */ name, /** @type {Uint8Array} */ bytes) => void kept.set(name, bytes) };
  return async () => folder;
}

test("addresses", () => {
  const tiny = { owner: "roneneldan", name: "TinyStories-1M", revision: "main" };
  assert.deepEqual(parseAddress("roneneldan/TinyStories-1M"), tiny);
  assert.deepEqual(parseAddress(" https://huggingface.co/roneneldan/TinyStories-1M/ "), tiny);
  assert.deepEqual(parseAddress("https://huggingface.co/roneneldan/TinyStories-1M/tree/v2"), { ...tiny, revision: "v2" });
  for (const bad of ["", "gpt2", "https://example.org/a/b", "a/b/c"]) assert.equal(parseAddress(bad), null, bad);
});

test("only what a model is made of is fetched, whole", async () => {
  const { get } = server();
  /** @type {any} */
  let last;
  const files = await fetchModel("a/b", { get, cache: memory(), tell: (progress) => (last = progress) });
  assert.deepEqual(files.map(({ name, bytes }) => [name, bytes.length]), [["config.json", 2], ["model.safetensors", WEIGHTS.length]]);
  assert.ok(Buffer.from(files[1].bytes.buffer).equals(Buffer.from(WEIGHTS.buffer)));
  assert.deepEqual(last, { file: "model.safetensors", bytes: WEIGHTS.length + 2, total: WEIGHTS.length + 2 });
});

test("a download that was cut off goes on where it stopped", async () => {
  const cache = memory();
  await assert.rejects(fetchModel("a/b", { get: server(3).get, cache, tell() {} }), /network/);
  const { asked, get } = server();
  const files = await fetchModel("a/b", { get, cache, tell() {} });
  assert.deepEqual(asked.slice(1), [`model.safetensors bytes=${PART}-${2 * PART - 1}`, `model.safetensors bytes=${2 * PART}-${3 * PART - 1}`]);
  assert.equal(files[1].bytes.length, WEIGHTS.length);
});
