// A screenshot as a PNG of 256 colours: a fifth of the size, and nobody sees the difference in a page of text and curves.
// (PNG specification, third edition: 5.2 signature, 5.3 chunks, 9.2 filters.)

import { deflateSync, inflateSync } from "node:zlib";

import { crc32 } from "../../../web/page/zip.js";

const SIGNATURE = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
const COLOURS = 256;
/** Squared distance of two colours that nobody tells apart. */
const ALIKE = 60;
const RGB = 2;
const RGBA = 6;
const PALETTE = 3;

/** @param {Buffer} png 8 bits a channel, RGB or RGBA without transparency @returns {Buffer} */
export function smaller(png) {
  const { width, height, pixels } = decode(png);
  /** @type {Map<number, number>} how often each colour occurs */
  const counts = new Map();
  for (const colour of pixels) counts.set(colour, (counts.get(colour) ?? 0) + 1);
  const palette = paletteOf([...counts.keys()].sort((a, b) => counts.get(b) - counts.get(a)));
  const indices = new Map([...counts.keys()].map((colour) => [colour, nearest(palette, colour)]));
  const rows = Buffer.alloc(height * (width + 1));
  for (let i = 0; i < pixels.length; i += 1) rows[i + Math.floor(i / width) + 1] = indices.get(pixels[i]);
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header.set([8, PALETTE], 8);
  const colours = Buffer.from(palette.flatMap(channels));
  return Buffer.concat([SIGNATURE, chunk("IHDR", header), chunk("PLTE", colours), chunk("IDAT", deflateSync(rows, { level: 9 })), chunk("IEND", Buffer.alloc(0))]);
}

/** @param {Buffer} png */
function decode(png) {
  const data = [];
  let header = Buffer.alloc(0);
  for (let at = SIGNATURE.length; at < png.length; ) {
    const length = png.readUInt32BE(at);
    const kind = png.toString("latin1", at + 4, at + 8);
    const body = png.subarray(at + 8, at + 8 + length);
    if (kind === "IHDR") header = body;
    if (kind === "IDAT") data.push(body);
    at += length + 12;
  }
  const [width, height, depth, type] = [header.readUInt32BE(0), header.readUInt32BE(4), header[8], header[9]];
  if (depth !== 8 || (type !== RGB && type !== RGBA)) throw new Error(`a PNG of type ${type} with ${depth} bits`);
  const size = type === RGB ? 3 : 4;
  const bytes = unfilter(inflateSync(Buffer.concat(data)), width * size, height, size);
  const pixels = Uint32Array.from({ length: width * height }, (_, i) => (bytes[i * size] << 16) | (bytes[i * size + 1] << 8) | bytes[i * size + 2]);
  return { width, height, pixels };
}

/** @param {Buffer} lines each after the number of its filter @param {number} stride @param {number} height @param {number} size bytes of a pixel */
function unfilter(lines, stride, height, size) {
  const bytes = new Uint8Array(stride * height);
  for (let y = 0; y < height; y += 1) {
    const filter = lines[y * (stride + 1)];
    for (let x = 0; x < stride; x += 1) {
      const at = y * stride + x;
      const left = x < size ? 0 : bytes[at - size];
      const up = y === 0 ? 0 : bytes[at - stride];
      const corner = x < size || y === 0 ? 0 : bytes[at - stride - size];
      const guess = [0, left, up, (left + up) >> 1, paeth(left, up, corner)][filter];
      bytes[at] = lines[y * (stride + 1) + 1 + x] + guess;
    }
  }
  return bytes;
}

/** @param {number} left @param {number} up @param {number} corner */
function paeth(left, up, corner) {
  const [a, b, c] = [Math.abs(up - corner), Math.abs(left - corner), Math.abs(left + up - 2 * corner)];
  return a <= b && a <= c ? left : b <= c ? up : corner;
}

/** @param {number[]} palette @param {number} colour */
function nearest(palette, colour) {
  const distances = palette.map((each) => distance(each, colour));
  return distances.indexOf(Math.min(...distances));
}

/** The commonest colours, of those that look the same only one: a gradient's many rare colours have their place too. @param {number[]} colours commonest first */
function paletteOf(colours) {
  /** @type {number[]} */
  const palette = [];
  for (const colour of colours) {
    if (palette.length < COLOURS && palette.every((taken) => distance(taken, colour) > ALIKE)) palette.push(colour);
  }
  return palette;
}

/** @param {number} a @param {number} b squared, over the channels */
function distance(a, b) {
  const other = channels(b);
  return channels(a).reduce((sum, channel, i) => sum + (channel - other[i]) ** 2, 0);
}

/** @param {number} colour */
function channels(colour) {
  return [colour >> 16, (colour >> 8) & 255, colour & 255];
}

/** @param {string} kind @param {Buffer} body */
function chunk(kind, body) {
  const named = Buffer.concat([Buffer.from(kind, "latin1"), body]);
  const ends = Buffer.alloc(8);
  ends.writeUInt32BE(body.length, 0);
  ends.writeUInt32BE(crc32(named), 4);
  return Buffer.concat([ends.subarray(0, 4), named, ends.subarray(4)]);
}
