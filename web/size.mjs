// How much of the built page a visitor downloads: `node web/size.mjs DIST`, by `cargo xtask size`. Fails beyond the limit.

import { readFileSync, readdirSync } from "node:fs";
import { join, relative } from "node:path";
import { brotliCompressSync, constants } from "node:zlib";

/** Of wasm, JavaScript, styles and words together, as a server with brotli sends them. The recorded run is fetched only where it is played. */
const LIMIT = 3_000_000;
const NEVER_AT_FIRST = new Set(["page/recording.json"]);
/** Files of fewer bytes have no row of their own. */
const ROW = 20_000;

const [dist] = process.argv.slice(2);
const sizes = readdirSync(dist, { recursive: true, withFileTypes: true })
  .filter((entry) => entry.isFile())
  .map((entry) => join(entry.parentPath, entry.name))
  .filter((file) => !NEVER_AT_FIRST.has(relative(dist, file)))
  .map((file) => {
    const bytes = readFileSync(file);
    const params = { [constants.BROTLI_PARAM_QUALITY]: constants.BROTLI_MAX_QUALITY, [constants.BROTLI_PARAM_SIZE_HINT]: bytes.length };
    return { file: relative(dist, file), bytes: bytes.length, brotli: brotliCompressSync(bytes, { params }).length };
  });
const total = sizes.reduce((sum, { brotli }) => sum + brotli, 0);
for (const { file, bytes, brotli } of sizes.filter(({ brotli }) => brotli >= ROW)) console.log(`${file}: ${bytes} bytes, ${brotli} after brotli`);
console.log(`${sizes.length} files: ${total} bytes after brotli; at most ${LIMIT}`);
process.exitCode = total > LIMIT ? 1 : 0;
