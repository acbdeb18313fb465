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

/** @param {FileSystemEntry} entry @returns {Promise<File[]>} the folder's own files, or the file */
async function within(entry) {
  if (entry.isFile) return [await new Promise((done, failed) => /** @type {FileSystemFileEntry} */ (entry).file(done, failed))];
  const reader = /** @type {FileSystemDirectoryEntry} */ (entry).createReader();
  const files = [];
  // A reader gives a hundred entries at a time, and at the end none.
  for (;;) {
    /** @type {FileSystemEntry[]} */
    const some = await new Promise((done, failed) => reader.readEntries(done, failed));
    if (some.length === 0) return files;
    files.push(...(await Promise.all(some.filter(({ isFile }) => isFile).map(within))).flat());
  }
}
