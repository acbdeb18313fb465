// The benchmarks' program (crates/evenkeel-web/examples/bench.rs) in a page of its own, with what it asks of WebGPU counted.

import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { join } from "node:path";

import { chromium } from "../../../web/node_modules/playwright-core/index.mjs";
import { ARGS, executable } from "./browser.mjs";
import { serve } from "./server.mjs";

const PAGE = `<!doctype html>
<meta charset="utf-8">
<title>bench</title>
<link rel="icon" href="data:,">
<script type="module">
import init, { Contender } from "./bench.js";
await init();
globalThis.contender = await Contender.open();
</script>`;

/** The page's `contender` takes commands; its `counted` has what was asked for since the page was opened. */
export async function openBench() {
  const built = join(String(process.env.EVENKEEL_BUILT), "evenkeel");
  assert(existsSync(join(built, "bench_bg.wasm")), "EVENKEEL_BUILT must name the folder of the built benchmarks (cargo xtask web builds them)");
  const server = await serve(built, { "/index.html": PAGE });
  const browser = await chromium.launch({ executablePath: executable(), args: ARGS, proxy: { server: server.address, bypass: "127.0.0.1" } });
  browser.once("disconnected", () => server.stop());
  const page = await browser.newPage();
  await page.addInitScript(count);
  await page.goto(server.address);
  await page.waitForFunction(() => "contender" in globalThis, undefined, { timeout: 120_000 });
  return { browser, page };
}

/** Counts calls of WebGPU, in the page itself. */
function count() {
  const counted = { submissions: 0, buffers: 0, pipelines: 0, ahead: 0, maps: 0, writes: 0, passes: 0, dispatches: 0 };
  const calls = {
    submissions: [GPUQueue, "submit"],
    buffers: [GPUDevice, "createBuffer"],
    pipelines: [GPUDevice, "createComputePipeline"],
    ahead: [GPUDevice, "createComputePipelineAsync"],
    maps: [GPUBuffer, "mapAsync"],
    writes: [GPUQueue, "writeBuffer"],
    passes: [GPUCommandEncoder, "beginComputePass"],
    dispatches: [GPUComputePassEncoder, "dispatchWorkgroups", "dispatchWorkgroupsIndirect"],
  };
  for (const [name, [{ prototype }, ...methods]] of Object.entries(calls)) {
    for (const method of methods) {
      const original = prototype[method];
      prototype[method] = function (...args) {
        counted[name] += 1;
        return original.apply(this, args);
      };
    }
  }
  Object.assign(globalThis, { counted });
}
