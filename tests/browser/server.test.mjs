// The tests' own server outlives what a browser does to it.

import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "node:test";

import { serve } from "./support/server.mjs";

test("a browser that hangs up in the middle of asking for another host is no failure", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "evenkeel-server-"));
  const server = await serve(folder, { "/here": "here" });
  t.after(async () => {
    server.stop();
    await rm(folder, { recursive: true });
  });
  for (let times = 0; times < 20; times++) {
    const socket = connect(Number(new URL(server.address).port), "127.0.0.1");
    await new Promise((sent) => socket.write("CONNECT other.example:443 HTTP/1.1\r\nHost: other.example:443\r\n\r\n", sent));
    await new Promise((answered) => socket.once("data", answered));
    socket.resetAndDestroy();
  }
  assert.equal(await (await fetch(`${server.address}here`)).text(), "here");
  assert.deepEqual(server.refused, Array(20).fill("other.example:443"));
});
