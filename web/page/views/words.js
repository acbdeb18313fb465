// @ts-check
// The views' words: the same keys in every language, all beginning with "view.".

export { en } from "./words_en.js";
export { zh } from "./words_zh.js";
