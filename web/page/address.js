// @ts-check
// What the address holds after its "#": opened again, it gives the same lesson. A teacher writes `hide=seed,fork` into it.

/**
 * @typedef {object} Address
 * @property {string | null} preset
 * @property {number | null} seed
 * @property {number | null} beta
 * @property {"en" | "zh" | null} lang
 * @property {"light" | "dark" | null} theme
 * @property {string | null} station
 * @property {string[]} hide names of the controls that are not shown
 */

/** The largest seed that JavaScript and the worker read alike. */
const LARGEST_SEED = Number.MAX_SAFE_INTEGER;

/** Whatever makes no sense is left out. @param {string} hash @returns {Address} */
export function read(hash) {
  const fields = new URLSearchParams(hash.replace(/^#/, ""));
  const number = (/** @type {string} */ name) => {
    const text = fields.get(name);
    const value = Number(text);
    return text !== null && text.trim() !== "" && Number.isFinite(value) && value >= 0 ? value : null;
  };
  const seed = number("seed");
  return {
    preset: word(fields.get("preset")),
    seed: Number.isInteger(seed) && Number(seed) <= LARGEST_SEED ? seed : null,
    beta: number("beta"),
    lang: oneOf(fields.get("lang"), ["en", "zh"]),
    theme: oneOf(fields.get("theme"), ["light", "dark"]),
    station: word(fields.get("station")),
    hide: (fields.get("hide") ?? "").split(",").filter((name) => word(name) !== null),
  };
}

/** @param {Partial<Address>} address */
export function write(address) {
  const fields = new URLSearchParams();
  for (const name of /** @type {const} */ (["preset", "seed", "beta", "lang", "theme", "station"])) {
    const value = address[name];
    if (value !== null && value !== undefined) fields.set(name, String(value));
  }
  if (address.hide?.length) fields.set("hide", address.hide.join(","));
  return `#${fields.toString().replaceAll("%2C", ",")}`;
}

/** @param {string | null} text */
function word(text) {
  return text !== null && /^[\w-]+$/.test(text) ? text : null;
}

/** @template {string} T @param {string | null} text @param {T[]} allowed @returns {T | null} */
function oneOf(text, allowed) {
  return allowed.find((value) => value === text) ?? null;
}
