// @ts-check
// Draws what the worker says and forwards what the user asks. Computes nothing.

import init, { Session } from "./page.js";

/** @typedef {{event: "ready"} | {event: "self_check_passed", device: string, max_error: number} | {event: "failed", message: string}} FromWorker */

const worker = output("worker");
const device = output("device");

try {
  await init();
  worker.value = "starting";
  const session = new Session((/** @type {FromWorker} */ event) => render(event, session));
} catch (error) {
  worker.value = `could not start: ${error}. A current Chrome, Edge, Safari or Firefox can run this page.`;
  throw error;
}

/** @param {FromWorker} event @param {Session} session */
function render(event, session) {
  switch (event.event) {
    case "ready":
      worker.value = "ready";
      device.value = "checking";
      session.self_check();
      break;
    case "self_check_passed":
      device.value = `${event.device}: kernels agree with their CPU twins (largest difference ${event.max_error.toExponential(1)})`;
      break;
    case "failed":
      device.value = event.message;
      break;
    default:
      throw new Error(`unknown event: ${JSON.stringify(event)}`);
  }
}

/** @param {string} id @returns {HTMLOutputElement} */
function output(id) {
  const element = document.getElementById(id);
  if (!(element instanceof HTMLOutputElement)) throw new Error(`index.html has no <output id="${id}">`);
  return element;
}
