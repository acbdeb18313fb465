// @ts-check
// Two languages. An element that was given its words by `words` says them again in the other language on its own.

import * as page from "./words/index.js";

/** @typedef {"en" | "zh"} Language */
/** @typedef {Record<string, string | number>} Params */

/** @type {Language} */
let language = "en";
/** @type {WeakMap<Element, Params>} */
const parameters = new WeakMap();
/** @type {Set<() => void>} */
const listeners = new Set();

/** The words of `key` in the present language, `{name}` filled in. @param {string} key @param {Params} [params] @returns {string} */
export function t(key, params = {}) {
  const text = page[language][key];
  if (text === undefined) throw new Error(`no words for ${key}`);
  return text.replace(/\{(\w+)\}/g, (whole, name) => (name in params ? String(params[name]) : whole));
}

export function currentLanguage() {
  return language;
}

/** @param {Language} chosen */
export function setLanguage(chosen) {
  language = chosen;
  document.documentElement.lang = chosen === "zh" ? "zh-CN" : "en";
  for (const element of document.querySelectorAll("[data-words]")) speak(element);
  for (const attribute of ["aria-label", "placeholder", "content"]) {
    for (const element of document.querySelectorAll(`[data-words-${attribute}]`)) {
      element.setAttribute(attribute, t(String(element.getAttribute(`data-words-${attribute}`))));
    }
  }
  for (const listener of listeners) listener();
}

/** `listener` is called after every change of the language. @param {() => void} listener */
export function onLanguage(listener) {
  listeners.add(listener);
}

/** Gives `element` its words. @template {Element} E @param {E} element @param {string} key @param {Params} [params] @returns {E} */
export function words(element, key, params = {}) {
  element.setAttribute("data-words", key);
  parameters.set(element, params);
  speak(element);
  return element;
}

/** Gives `element` a translated attribute. @template {Element} E @param {E} element @param {"aria-label" | "placeholder"} attribute @param {string} key */
export function labelled(element, attribute, key) {
  element.setAttribute(`data-words-${attribute}`, key);
  element.setAttribute(attribute, t(key));
  return element;
}

/** @param {Element} element */
function speak(element) {
  const text = t(String(element.getAttribute("data-words")), parameters.get(element));
  if (element.textContent !== text) element.textContent = text;
}
