// @ts-check
// MathML built node by node. A string becomes an identifier, a number or an operator by what it looks like.

const MATHML = "http://www.w3.org/1998/Math/MathML";
const OPERATORS = new Set(["=", "≈", "≤", "+", "−", "·", "×", "⇒", ",", "|", "(", ")", "[", "]", "<", "∼", "~", "/", ":", "Σ", "∑"]);

/** @typedef {Node | string} Piece */

/** @param {...Piece} pieces */
export function math(...pieces) {
  const element = tag("math", ...pieces);
  element.setAttribute("displaystyle", "true");
  return element;
}

/** Several lines of one formula, aligned at the left. @param {...Piece[]} lines */
export function lines(...lines) {
  const table = tag("mtable", ...lines.map((line) => tag("mtr", tag("mtd", row(...line)))));
  table.setAttribute("displaystyle", "true");
  return table;
}

/** @param {...Piece} pieces */
export function row(...pieces) {
  return tag("mrow", ...pieces);
}

/** @param {Piece} base @param {Piece} below */
export function sub(base, below) {
  return tag("msub", base, below);
}

/** @param {Piece} base @param {Piece} above */
export function sup(base, above) {
  return tag("msup", base, above);
}

/** @param {Piece} above @param {Piece} below */
export function frac(above, below) {
  return tag("mfrac", above, below);
}

/** @param {Piece} operator @param {Piece} below */
export function under(operator, below) {
  return tag("munder", operator, below);
}

/** @param {Piece} base */
export function hat(base) {
  return accented(base, "^");
}

/** The mean of it. @param {Piece} base */
export function bar(base) {
  return accented(base, "¯");
}

/** Brackets as tall as what they hold. @param {Piece} content */
export function tall(content) {
  const [open, close] = ["(", ")"].map((bracket) => {
    const element = atom(bracket);
    element.setAttribute("stretchy", "true");
    return element;
  });
  return row(open, content, close);
}

/** A number, in brackets where its sign would follow an operator. @param {string} text */
export function bracketed(text) {
  return /^[−+]/.test(text) ? row("(", text, ")") : text;
}

/** @param {Piece} base @param {string} mark */
function accented(base, mark) {
  const element = tag("mover", base, mark);
  element.setAttribute("accent", "true");
  return element;
}

/** @param {string} name @param {...Piece} pieces */
function tag(name, ...pieces) {
  const element = document.createElementNS(MATHML, name);
  element.append(...pieces.map((piece) => (typeof piece === "string" ? atom(piece) : piece)));
  return element;
}

/** @param {string} text */
function atom(text) {
  if (text === " ") return space();
  const name = OPERATORS.has(text) || text === "^" || text === "¯" ? "mo" : /^[−+]?[\d–]/.test(text) ? "mn" : "mi";
  const element = document.createElementNS(MATHML, name);
  element.textContent = text;
  if ("()[]|".includes(text)) element.setAttribute("stretchy", "false");
  return element;
}

/** Between a function and its argument. */
function space() {
  const element = document.createElementNS(MATHML, "mspace");
  element.setAttribute("width", "0.2em");
  return element;
}
