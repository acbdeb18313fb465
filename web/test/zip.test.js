// @ts-check
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "node:test";

import { crc32, zip } from "../page/zip.js";

const text = (/** @type {string} */ words) => new TextEncoder().encode(words);

test("the CRC of the standard's check string", () => {
  assert.equal(crc32(text("123456789")), 0xcbf43926);
});

test("unzip finds every file whole", () => {
  const folder = mkdtempSync(join(tmpdir(), "evenkeel-zip-"));
  try {
    const path = join(folder, "model.zip");
    const weights = Uint8Array.from({ length: 70_000 }, (_, i) => (i * 31) & 0xff);
    writeFileSync(path, Buffer.concat(zip([{ name: "config.json", bytes: text("{}") }, { name: "权重.bin", bytes: weights }, { name: "empty", bytes: new Uint8Array() }])));
    assert.match(execFileSync("unzip", ["-t", path], { encoding: "utf8" }), /No errors detected/);
    assert.deepEqual(new Uint8Array(execFileSync("unzip", ["-p", path, "config.json"])), text("{}"));
    assert.deepEqual(execFileSync("unzip", ["-p", path, "*.bin"], { maxBuffer: 2 ** 20 }).length, weights.length);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
