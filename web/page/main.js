// @ts-check
// Starts the page: builds it, starts the worker, and has them hear each other. Draws what the worker says; computes nothing.

import init, { Session } from "../page.js";
import { keepAwake, tellHidden } from "./awake.js";
import { buildBar } from "./bar.js";
import { createConductor } from "./conductor.js";
import { buildCapabilities, buildChoices, findAdapter } from "./header.js";
import { buildNotices, showBrokenPage } from "./notices.js";
import { createSettings } from "./settings.js";
import { followStations, hideControls } from "./stations.js";
import { buildAnchor } from "./stations/anchor.js";
import { buildChat } from "./stations/chat.js";
import { buildDpo } from "./stations/dpo.js";
import { buildGlossary } from "./stations/glossary.js";
import { buildOwn } from "./stations/own.js";
import { buildPpo } from "./stations/ppo.js";
import { buildReward } from "./stations/reward.js";
import { buildSft } from "./stations/sft.js";
import { buildWhy } from "./stations/why.js";
import { createStore } from "./store.js";

const STATIONS = { why: buildWhy, sft: buildSft, reward: buildReward, ppo: buildPpo, anchor: buildAnchor, dpo: buildDpo, own: buildOwn, chat: buildChat, glossary: buildGlossary };

const store = createStore();
const settings = createSettings(location, history);
const conductor = createConductor(store, settings, (hear) => new Session(hear));
const app = { store, settings, conductor, send: conductor.send };

const looking = findAdapter();
buildChoices(part("choices"), app);
buildCapabilities(part("capabilities"), app, looking);
buildNotices(part("notices"), app, looking);
tellHidden(part("notices"), app);
buildBar(part("bar"), app);
const starting = start();
for (const [id, build] of Object.entries(STATIONS)) {
  build(part(id), app);
  // One task for each: the page answers while it is being built.
  await new Promise((done) => setTimeout(done));
}
followStations(part("stations"), app);
hideControls(app);
keepAwake(app);
await starting;
await keepForOffline();

async function start() {
  try {
    await init();
    conductor.start();
  } catch (error) {
    showBrokenPage(part("notices"), app, error);
    throw error;
  }
}

/** @param {string} id @returns {HTMLElement} */
function part(id) {
  const element = document.getElementById(id);
  if (!element) throw new Error(`index.html has no element "${id}"`);
  return element;
}

/** The next visit needs no network: the service worker keeps what was loaded. */
async function keepForOffline() {
  if (!("serviceWorker" in navigator) || !isSecureContext) return;
  await navigator.serviceWorker.register(new URL("../sw.js", import.meta.url));
  const { active } = await navigator.serviceWorker.ready;
  const loaded = performance.getEntriesByType("resource").map(({ name }) => name);
  active?.postMessage([location.href.replace(/#.*/, ""), ...loaded]);
}
