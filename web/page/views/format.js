// @ts-check
// Numbers as people read them; the same in both languages: a point, and a real minus sign.

/** @import { Translate } from "./types.js" */

const UNKNOWN = "–";
const SUPERSCRIPTS = "⁰¹²³⁴⁵⁶⁷⁸⁹";

/** `digits` decimals, and never −0. @param {number | null | undefined} value @param {number} [digits] */
export function fixed(value, digits = 2) {
  if (!isNumber(value)) return UNKNOWN;
  const text = Math.abs(value).toFixed(digits);
  return value < 0 && Number(text) !== 0 ? `−${text}` : text;
}

/** As {@link fixed}, with a plus sign too. @param {number | null | undefined} value @param {number} [digits] */
export function signed(value, digits = 2) {
  const text = fixed(value, digits);
  return isNumber(value) && Number(text.replace("−", "-")) > 0 ? `+${text}` : text;
}

/** About three significant digits, whatever the size. @param {number | null | undefined} value */
export function short(value) {
  if (!isNumber(value)) return UNKNOWN;
  const size = Math.abs(value);
  if (size === 0) return "0";
  if (size >= 1000) return (value < 0 ? "−" : "") + grouped(Math.round(size));
  if (size >= 100) return fixed(value, 0);
  if (size >= 10) return fixed(value, 1);
  if (size >= 0.1) return fixed(value, 2);
  if (size >= 0.0001) return fixed(value, Math.min(5, 1 - Math.floor(Math.log10(size)))).replace(/0+$/, "");
  const exponent = Math.floor(Math.log10(size));
  return `${fixed(value / 10 ** exponent, 1)}·10⁻${[...String(-exponent)].map((digit) => SUPERSCRIPTS[Number(digit)]).join("")}`;
}

/** A number on an axis: no more digits than tell neighbours apart. @param {number} value @param {number} gap */
export function tick(value, gap) {
  const digits = Math.max(0, Math.min(6, Math.ceil(-Math.log10(gap) - 1e-9)));
  return Math.abs(value) >= 10000 ? short(value) : fixed(value, digits);
}

/** @param {number | null | undefined} share 0 to 1 @param {number} [digits] */
export function percent(share, digits = 0) {
  return isNumber(share) ? `${fixed(share * 100, digits)} %` : UNKNOWN;
}

/** Thousands apart. @param {number} value */
export function grouped(value) {
  return String(Math.round(value)).replace(/\B(?=(\d{3})+$)/g, ",");
}

/** @param {number | null | undefined} bytes */
export function mebibytes(bytes) {
  return isNumber(bytes) ? `${grouped(bytes / 2 ** 20)} MiB` : UNKNOWN;
}

/** @param {Translate} t @param {number} seconds */
export function duration(t, seconds) {
  if (seconds < 60) return t("view.unit.seconds", { n: seconds < 10 ? fixed(seconds, 1) : fixed(seconds, 0) });
  const whole = Math.round(seconds);
  return t("view.unit.minutes", { m: Math.floor(whole / 60), s: String(whole % 60).padStart(2, "0") });
}

/** @param {unknown} value @returns {value is number} */
export function isNumber(value) {
  return typeof value === "number" && Number.isFinite(value);
}
