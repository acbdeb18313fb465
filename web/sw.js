// @ts-check
/// <reference lib="webworker" />
// Keeps the page for when there is no network. The network comes first, so that nobody is left with an old version.

const worker = /** @type {ServiceWorkerGlobalScope} */ (/** @type {unknown} */ (self));
const CACHE = "evenkeel";
/** What the page's worker loads, which the page itself does not see. */
const WORKER_FILES = ["worker_loader.js", "worker.js", "worker_bg.wasm"];

worker.addEventListener("install", () => void worker.skipWaiting());
worker.addEventListener("activate", (event) => event.waitUntil(worker.clients.claim()));

// The page tells what it loaded before there was a service worker.
worker.addEventListener("message", (event) => {
  const files = WORKER_FILES.map((file) => new URL(file, worker.registration.scope).href);
  event.waitUntil(Promise.all([...event.data, ...files].filter(isOurs).map(keepIfNew)));
});

worker.addEventListener("fetch", (event) => {
  if (event.request.method === "GET" && isOurs(event.request.url)) event.respondWith(networkFirst(event.request));
});

/** @param {Request} request */
async function networkFirst(request) {
  const cache = await caches.open(CACHE);
  try {
    const response = await fetch(request);
    if (response.ok) await cache.put(request, response.clone());
    return response;
  } catch (error) {
    const kept = await cache.match(request, { ignoreSearch: true });
    if (kept) return kept;
    throw error;
  }
}

/** @param {string} url */
async function keepIfNew(url) {
  const cache = await caches.open(CACHE);
  if (!(await cache.match(url))) await cache.add(url);
}

/** @param {string} url */
function isOurs(url) {
  return new URL(url).origin === worker.location.origin;
}
