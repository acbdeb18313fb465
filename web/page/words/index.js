// @ts-check
// The page's words and the views', one dictionary for each language.

import * as views from "../views/words.js";
import { en as english } from "./en.js";
import { zh as chinese } from "./zh.js";

/** @type {Record<string, string>} */
export const en = { ...english, ...views.en };
/** @type {Record<string, string>} */
export const zh = { ...chinese, ...views.zh };
