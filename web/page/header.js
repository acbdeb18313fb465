// @ts-check
// Language, theme, and what this device can do.

import { currentLanguage, setLanguage, t } from "./i18n.js";
import { field, redraw, setOptions, whenChanged } from "./kit.js";
import { h } from "./views/dom.js";
import { mebibytes } from "./views/format.js";

/** @import { App } from "./kit.js" */
/** @typedef {{name: string, features: string[], memory: number}} Adapter */

/** @param {HTMLElement} root @param {App} app */
export function buildChoices(root, { store, settings }) {
  const languages = h("select", { change: () => settings.set({ lang: /** @type {"en" | "zh"} */ (languages.value) }) }, h("option", { value: "en", lang: "en" }, "English"), h("option", { value: "zh", lang: "zh-CN" }, "简体中文"));
  const themes = h("select", { change: () => settings.set({ theme: themes.value === "auto" ? null : /** @type {"light" | "dark"} */ (themes.value) }) });
  root.append(field("language.label", languages), field("theme.label", themes));
  let theme = /** @type {string | null} */ (null);
  settings.listen(({ lang, theme: chosen }) => {
    const language = lang ?? (navigator.language.startsWith("zh") ? "zh" : "en");
    const same = language === currentLanguage() && chosen === theme && themes.options.length > 0;
    if (same) return;
    theme = chosen;
    if (theme) document.documentElement.dataset.theme = theme;
    else delete document.documentElement.dataset.theme;
    setLanguage(language);
    languages.value = language;
    setOptions(themes, ["auto", "light", "dark"].map((value) => [value, t(`theme.${value}`)]));
    themes.value = theme ?? "auto";
    redraw(store);
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => redraw(store));
}

/** What the worker calls an adapter of which the browser does not tell it the name. */
const NAMELESS = "WebGPU adapter";

/** @returns {Promise<Adapter | null>} null: no WebGPU */
export async function findAdapter() {
  const gpu = /** @type {any} */ (navigator).gpu;
  const adapter = await gpu?.requestAdapter({ powerPreference: "high-performance" }).catch(() => null);
  if (!adapter) return null;
  const { vendor, architecture, device, description } = adapter.info ?? {};
  const name = description || [vendor, device || architecture].filter(Boolean).join(" ") || "WebGPU";
  return { name, features: [...adapter.features], memory: adapter.limits.maxStorageBufferBindingSize };
}

/** @param {HTMLElement} root @param {App} app @param {Promise<Adapter | null>} looking */
export function buildCapabilities(root, { store }, looking) {
  /** @type {Adapter | null | undefined} */
  let adapter;
  const pill = (/** @type {string} */ text, kind = "") => h("span", { class: `pill ${kind}` }, text);
  const draw = (/** @type {any} */ device) => {
    const features = device?.features ?? adapter?.features ?? [];
    const has = (/** @type {"f16" | "subgroups"} */ name, /** @type {string} */ feature) =>
      pill(t(features.includes(feature) ? `device.${name}` : `device.no_${name}`));
    const found = device?.name === NAMELESS && adapter ? adapter : device || adapter;
    const name = device?.backend === "cpu" ? t("device.cpu", { name: device.name }) : found && t("device.adapter", { name: found.name });
    root.replaceChildren(
      h("b", {}, t("device.label")),
      pill(name || t(adapter === null ? "device.none" : "device.looking")),
      ...(found && device?.backend !== "cpu" ? [has("f16", "shader-f16"), has("subgroups", "subgroups")] : []),
      ...(adapter ? [pill(t("device.memory", { size: mebibytes(adapter.memory) }))] : []),
      ...(found ? [verdict(device)] : []),
    );
  };
  const verdict = (/** @type {any} */ device) => {
    if (!device) return pill(t("device.untested"));
    const broken = device.checks.filter((/** @type {any} */ { passed }) => !passed).map((/** @type {any} */ { kernel }) => kernel);
    if (broken.length > 0) return pill(`✗ ${t("device.broken", { kernels: broken.join(", ") })}`, "bad");
    return pill(`✓ ${t("device.passed", { count: device.checks.length, ms: Math.round(device.milliseconds) })}`, "good");
  };
  whenChanged(store, root, ({ device }) => [device, adapter], draw);
  void looking.then((found) => {
    adapter = found;
    redraw(store);
  });
}
