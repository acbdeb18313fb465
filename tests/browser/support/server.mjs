// The built page on a free port of 127.0.0.1, as any static host serves it. It is a proxy too, one that refuses everything: a browser
// that is told to use it shows here what it wants from other hosts, whichever of its workers asked.

import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { extname, join, normalize } from "node:path";

const TYPES = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".json": "application/json",
  ".wasm": "application/wasm",
};

/** What Chromium itself asks for at its start, whatever the page. */
const CHROMIUM_ASKS = [
  "accounts.google.com",
  "clients2.google.com",
  "content-autofill.googleapis.com",
  "optimizationguide-pa.googleapis.com",
  "redirector.gvt1.com",
  "update.googleapis.com",
  "www.google.com",
];

/**
 * @param {string} folder
 * @param {Record<string, string | Buffer>} [extra] files that the folder does not hold, by path
 */
export async function serve(folder, extra = {}) {
  /** @type {string[]} */
  const refused = [];
  const refuse = (/** @type {string} */ what) => {
    if (!CHROMIUM_ASKS.includes(what.replace(/^https?:\/\//, "").replace(/[:/].*/, ""))) refused.push(what);
  };
  const server = createServer(async (request, response) => {
    const address = String(request.url);
    if (!address.startsWith("/")) {
      refuse(address);
      return response.writeHead(403).end();
    }
    const path = normalize(decodeURIComponent(address.replace(/[?#].*/, ""))).replace(/\/$/, "/index.html");
    try {
      const body = extra[path] ?? (await readFile(join(folder, path)));
      response.writeHead(200, { "content-type": TYPES[extname(path)] ?? "application/octet-stream" }).end(body);
    } catch {
      refuse(path);
      response.writeHead(404).end();
    }
  });
  server.on("connect", (request, socket) => {
    // The server has let go of this socket: nobody else would hear that the browser hung up on it, and an unheard error ends the process.
    socket.on("error", () => socket.destroy());
    refuse(String(request.url));
    socket.end("HTTP/1.1 403 Forbidden\r\n\r\n");
  });
  await new Promise((listening) => server.listen(0, "127.0.0.1", () => listening(undefined)));
  const { port } = server.address();
  return { address: `http://127.0.0.1:${port}/`, refused, stop: () => server.closeAllConnections() ?? server.close() };
}
