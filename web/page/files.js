// @ts-check
// Files that the visitor drops or chooses, folders included.

/** @typedef {{name: string, bytes: Uint8Array}} NamedBytes as the core's event::File */

/** @param {DataTransfer} dropped @returns {Promise<File[]>} */
export async function filesOf(dropped) {
  // Entries are only there until the first await.
  const entries = [...dropped.items].map((item) => item.webkitGetAsEntry());
  const found = await Promise.all(entries.map((entry) => (entry ? filesWithin(entry) : [])));
  return found.flat();
}

/** @param {Iterable<File>} files @returns {Promise<NamedBytes[]>} */
export function readAll(files) {
  return Promise.all([...files].map(async (file) => ({ name: file.name, bytes: new Uint8Array(await file.arrayBuffer()) })));
}

/**
 * A file as it was before gzip, which its first bytes tell, whatever its name says; any other as it is.
 * @param {NamedBytes} file @returns {Promise<NamedBytes>} @throws {TypeError} where the file is cut short or damaged
 */
export async function unzipped({ name, bytes }) {
  if (bytes[0] !== 0x1f || bytes[1] !== 0x8b) return { name, bytes };
  const plain = new Blob([/** @type {Uint8Array<ArrayBuffer>} */ (bytes)]).stream().pipeThrough(new DecompressionStream("gzip"));
  return { name: name.replace(/\.gz$/i, ""), bytes: new Uint8Array(await new Response(plain).arrayBuffer()) };
}

/**
 * What a run folder of the command line has for the page: its model's files, what the run said, and all but its model by their paths within it.
 * @param {File[]} files with their paths, as a chosen folder gives them @returns {{model: File[], events: File | undefined, rest: File[]} | null} null: it is no run folder
 */
export function runFolder(files) {
  const named = (/** @type {string} */ name) => files.find((file) => within(file) === name);
  if (!named("run.json")) return null;
  const isModel = (/** @type {File} */ file) => within(file).startsWith("model/");
  return { model: files.filter(isModel), events: named("events.jsonl"), rest: files.filter((file) => !isModel(file)) };
}

/** Those that lie in no folder of the dropped or chosen one. @param {File[]} files */
export function topmost(files) {
  return files.filter((file) => !within(file).includes("/"));
}

/** The files of a run folder by their paths within it. @param {File[]} files @returns {Promise<NamedBytes[]>} */
export function readWithin(files) {
  return Promise.all(files.map(async (file) => ({ name: within(file), bytes: new Uint8Array(await file.arrayBuffer()) })));
}

/** @param {File} file */
function within(file) {
  return pathOf(file).split("/").slice(1).join("/");
}

/** Paths of dropped files, which a browser tells of chosen ones only. @type {WeakMap<File, string>} */
const dropped = new WeakMap();

/** @param {File} file */
function pathOf(file) {
  return dropped.get(file) ?? file.webkitRelativePath;
}

/** Calls `take` with what is dropped on `zone`. @param {HTMLElement} zone @param {(files: File[]) => void} take */
export function acceptDrops(zone, take) {
  zone.addEventListener("dragover", (event) => {
    event.preventDefault();
    zone.classList.add("over");
  });
  zone.addEventListener("dragleave", () => zone.classList.remove("over"));
  zone.addEventListener("drop", async (event) => {
    event.preventDefault();
    zone.classList.remove("over");
    if (event.dataTransfer) take(await filesOf(event.dataTransfer));
  });
}

/** @param {FileSystemEntry} entry @param {number} [depth] of folders, as deep as a checkpoint lies @returns {Promise<File[]>} the folder's files, or the file */
async function filesWithin(entry, depth = 3) {
  if (entry.isFile) {
    /** @type {File} */
    const file = await new Promise((done, failed) => /** @type {FileSystemFileEntry} */ (entry).file(done, failed));
    dropped.set(file, entry.fullPath.slice(1));
    return [file];
  }
  const reader = /** @type {FileSystemDirectoryEntry} */ (entry).createReader();
  const files = [];
  // A reader gives a hundred entries at a time, and at the end none.
  for (;;) {
    /** @type {FileSystemEntry[]} */
    const some = await new Promise((done, failed) => reader.readEntries(done, failed));
    if (some.length === 0) return files;
    files.push(...(await Promise.all(some.filter(({ isFile }) => isFile || depth > 0).map((inner) => filesWithin(inner, depth - 1)))).flat());
  }
}
