// @ts-check
// Colours of the page as numbers, for canvases and for scales that must keep their text legible.

/** @typedef {[number, number, number]} Rgb */

/** Poles of the diverging scale (Okabe–Ito's blue and vermillion): below and above the middle. */
const BELOW = /** @type {Rgb} */ ([0, 114, 178]);
const ABOVE = /** @type {Rgb} */ ([213, 94, 0]);

/** What the custom property `name` comes to at `root` in the present theme. @param {HTMLElement} root @param {string} name */
export function resolved(root, name) {
  const probe = document.createElement("span");
  probe.hidden = true;
  probe.style.color = `var(${name})`;
  root.append(probe);
  const colour = getComputedStyle(probe).color;
  probe.remove();
  return colour;
}

/** "rgb(1, 2, 3)" or "#010203" as numbers. @param {string} text @returns {Rgb} */
export function parse(text) {
  const hex = /^#(..)(..)(..)$/.exec(text);
  if (hex) return /** @type {Rgb} */ (hex.slice(1).map((part) => parseInt(part, 16)));
  const numbers = (text.match(/[\d.]+/g) ?? []).map(Number);
  const unit = text.startsWith("color(") ? 255 : 1;
  return /** @type {Rgb} */ ([0, 1, 2].map((i) => (numbers[i] ?? 0) * unit));
}

/** @param {Rgb} colour */
export function css(colour) {
  return `rgb(${colour.map((part) => Math.round(part)).join(", ")})`;
}

/** From `a` (0) to `b` (1). @param {Rgb} a @param {Rgb} b @param {number} share @returns {Rgb} */
export function mix(a, b, share) {
  return /** @type {Rgb} */ (a.map((part, i) => part + (b[i] - part) * share));
}

/** WCAG's contrast, 1 to 21. @param {Rgb} a @param {Rgb} b */
export function contrast(a, b) {
  const [dark, light] = [luminance(a), luminance(b)].sort((x, y) => x - y);
  return (light + 0.05) / (dark + 0.05);
}

/** Black or white, whichever is read better; it is never below AA. @param {Rgb} background @returns {Rgb} */
export function inkOn(background) {
  return contrast(background, [0, 0, 0]) >= contrast(background, [255, 255, 255]) ? [0, 0, 0] : [255, 255, 255];
}

/** Blue below zero, vermillion above, `middle` at zero; the poles are reached at ±`limit`. @param {number} value @param {number} limit @param {Rgb} middle */
export function diverging(value, limit, middle) {
  const share = Math.min(1, Math.abs(value) / limit);
  return mix(middle, value < 0 ? BELOW : ABOVE, 0.9 * share ** 0.7);
}

/** @param {Rgb} colour */
function luminance(colour) {
  const [r, g, b] = colour.map((part) => {
    const share = part / 255;
    return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}
