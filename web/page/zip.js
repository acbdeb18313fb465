// @ts-check
// A zip of stored files (APPNOTE 6.3.10, §4.3). No library: weights do not compress, and without compression a zip is three records per file.

const LOCAL = 0x04034b50;
const CENTRAL = 0x02014b50;
const END = 0x06054b50;
const VERSION = 20;
/** Bit 11: names are UTF-8. */
const FLAGS = 0x0800;
/** 1 January 1980, the earliest date of the format: the same files give the same zip. */
const DATE = 0x0021;
/** Beyond 32 bits of length another format begins (zip64). */
const LARGEST = 2 ** 32 - 1;

const TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let value = byte;
  for (let bit = 0; bit < 8; bit += 1) value = value & 1 ? (value >>> 1) ^ 0xedb88320 : value >>> 1;
  return value;
});

/** @param {Uint8Array} bytes */
export function crc32(bytes) {
  let value = 0xffffffff;
  for (let i = 0; i < bytes.length; i += 1) value = TABLE[(value ^ bytes[i]) & 0xff] ^ (value >>> 8);
  return (value ^ 0xffffffff) >>> 0;
}

/** The parts of the zip, in order: what `new Blob(parts)` takes. @param {{name: string, bytes: Uint8Array}[]} files @returns {Uint8Array[]} */
export function zip(files) {
  const parts = [];
  const directory = [];
  let offset = 0;
  for (const { name, bytes } of files) {
    const label = new TextEncoder().encode(name);
    const about = [VERSION, FLAGS, 0, 0, DATE, [crc32(bytes)], [bytes.length], [bytes.length], label.length, 0];
    const header = record([[LOCAL], ...about]);
    directory.push(record([[CENTRAL], VERSION, ...about, 0, 0, 0, [0], [offset]]), label);
    parts.push(header, label, bytes);
    offset += header.length + label.length + bytes.length;
    if (offset > LARGEST) throw new RangeError("a zip of more than 4 GiB");
  }
  const size = directory.reduce((sum, part) => sum + part.length, 0);
  return [...parts, ...directory, record([[END], 0, 0, files.length, files.length, [size], [offset], 0])];
}

/** Little-endian: a number takes 2 bytes, a number in brackets 4. @param {(number | number[])[]} fields */
function record(fields) {
  return Uint8Array.from(
    fields.flatMap((field) => {
      const value = Array.isArray(field) ? field[0] : field;
      return Array.from({ length: Array.isArray(field) ? 4 : 2 }, (_, i) => (value >>> (8 * i)) & 0xff);
    }),
  );
}
