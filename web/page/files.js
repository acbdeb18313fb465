// @ts-check
// Files that the visitor drops or chooses, folders included.

/** @typedef {{name: string, bytes: Uint8Array}} NamedBytes as the core's event::File */

/** @param {DataTransfer} dropped @returns {Promise<File[]>} */
export async function filesOf(dropped) {
  // Entries are only there until the first await.
  const entries = [...dropped.items].map((item) => item.webkitGetAsEntry());
  const found = await Promise.all(entries.map((entry) => (entry ? within(entry) : [])));
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
 * What a run folder of the command line has for the page: its model's files, and what the run said.
 * @param {File[]} files with their paths, as a chosen folder gives them @returns {{model: File[], events: File | undefined} | null} null: it is no run folder
 */
export function runFolder(files) {
  const within = (/** @type {File} */ file) => pathOf(file).split("/").slice(1);
  const named = (/** @type {string} */ name) => files.find((file) => within(file).join("/") === name);
  if (!named("run.json")) return null;
  return { model: files.filter((file) => within(file).length === 2 && within(file)[0] === "model"), events: named("events.jsonl") };
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

/** @param {FileSystemEntry} entry @returns {Promise<File[]>} the folder's own files and those of its `model`, or the file */
async function within(entry) {
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
    files.push(...(await Promise.all(some.filter(({ isFile, name }) => isFile || name === "model").map(within))).flat());
  }
}
