// @ts-check
// What the visitor has set: kept in the address, so that a link opens the same lesson.

import { read, write } from "./address.js";

/** @import { Address } from "./address.js" */

const DEFAULT_PRESET = "tiny";

/** @param {Location} location @param {History} history */
export function createSettings(location, history) {
  let address = read(location.hash);
  /** @type {Set<(address: Address) => void>} */
  const listeners = new Set();
  const tell = () => listeners.forEach((listener) => listener(address));
  addEventListener("hashchange", () => {
    // A plain link to a station (#station-ppo) names no settings: they stay.
    if (!location.hash.includes("=")) return;
    address = read(location.hash);
    tell();
  });
  return {
    get address() {
      return address;
    },
    /** @param {Partial<Address>} change */
    set(change) {
      address = { ...address, ...change };
      history.replaceState(null, "", write(address));
      tell();
    },
    /** The whole address, with some changes. @param {Partial<Address>} change */
    link(change) {
      return new URL(write({ ...address, ...change }), location.href).href;
    },
    /** @param {(address: Address) => void} listener */
    listen(listener) {
      listeners.add(listener);
      listener(address);
    },
    /** The preset with the visitor's seed and β in it. @param {Record<string, any>} plans */
    plan(plans) {
      const preset = plans[address.preset ?? ""] ?? plans[DEFAULT_PRESET] ?? Object.values(plans)[0];
      return { ...preset, seed: address.seed ?? preset.seed, kl_coef: address.beta ?? preset.kl_coef };
    },
    /** Takes over the settings of a lesson that was kept. @param {Record<string, any>} plan @param {Record<string, any>} plans */
    adopt(plan, plans) {
      const sizes = (/** @type {Record<string, any>} */ { seed: _, kl_coef: __, ...rest }) => JSON.stringify(Object.entries(rest).sort());
      const preset = Object.keys(plans).find((name) => sizes(plans[name]) === sizes(plan)) ?? null;
      this.set({ preset, seed: plan.seed, beta: plan.kl_coef });
    },
    /** @param {Record<string, any>} plans */
    preset(plans) {
      return address.preset !== null && address.preset in plans ? address.preset : DEFAULT_PRESET;
    },
  };
}

/** @typedef {ReturnType<typeof createSettings>} Settings */
