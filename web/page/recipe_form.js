// @ts-check
// A recipe (the same struct as the command line's) as a form: one field per setting, grouped by section.

import { t, words } from "./i18n.js";
import { freshId, h } from "./views/dom.js";

/** Paths of files, which the page hands over as bytes, and the choice of the trainer itself. */
const NOT_ASKED = new Set(["stage", "model", "data.train", "data.eval"]);

/** Every setting of a recipe: section ("" at the top), name and default. @param {Record<string, any>} recipe @returns {[section: string, name: string, value: any][]} */
export function settingsOf(recipe) {
  return Object.entries(recipe).flatMap(([key, value]) => {
    if (NOT_ASKED.has(key)) return [];
    if (typeof value !== "object" || value === null) return [["", key, value]];
    return Object.entries(value)
      .filter(([name]) => !NOT_ASKED.has(`${key}.${name}`))
      .map(([name, inner]) => /** @type {[string, string, any]} */ ([key, name, inner]));
  });
}

/** `recipe` with one setting changed. @param {Record<string, any>} recipe @param {string} section @param {string} name @param {any} value */
export function withSetting(recipe, section, name, value) {
  return section === "" ? { ...recipe, [name]: value } : { ...recipe, [section]: { ...recipe[section], [name]: value } };
}

/** @param {(recipe: Record<string, any>) => void} changed */
export function createRecipeForm(changed) {
  const root = h("div", { class: "recipe" });
  /** @type {Record<string, any>} */
  let recipe = {};
  /** @param {Record<string, any>} defaults */
  function show(defaults) {
    recipe = structuredClone(defaults);
    const sections = Map.groupBy(settingsOf(defaults), ([section]) => section);
    root.replaceChildren(
      ...[...sections].map(([section, settings]) => {
        const legend = section === "" ? words(h("legend"), "own.general") : h("legend", {}, h("code", {}, `[${section}]`));
        return h("fieldset", {}, legend, ...settings.map(([, name, value]) => setting(section, name, value)));
      }),
    );
    changed(recipe);
  }
  /** @param {string} section @param {string} name @param {any} value */
  function setting(section, name, value) {
    const input = inputFor(value);
    const id = freshId("setting");
    const mark = h("span", { class: "changed", id });
    input.setAttribute("aria-describedby", id);
    const row = h("label", { class: "setting" }, h("code", {}, name), input, mark);
    input.addEventListener("change", () => {
      const now = valueOf(input, value);
      const differs = JSON.stringify(now) !== JSON.stringify(value);
      row.classList.toggle("is-changed", differs);
      mark.textContent = differs ? `${t("own.changed")}; ${t("own.default", { value: String(value) })}` : "";
      recipe = withSetting(recipe, section, name, now);
      changed(recipe);
    });
    return row;
  }
  return { root, show };
}

/** @param {any} value */
function inputFor(value) {
  if (typeof value === "boolean") return h("input", { type: "checkbox", checked: value });
  if (typeof value === "number") return h("input", { type: "number", step: "any", value });
  return h("input", { type: "text", value: String(value ?? "") });
}

/** @param {HTMLInputElement} input @param {any} like the default, whose kind it keeps */
function valueOf(input, like) {
  if (typeof like === "boolean") return input.checked;
  if (typeof like === "number") return Number.isNaN(input.valueAsNumber) ? like : input.valueAsNumber;
  return input.value;
}
