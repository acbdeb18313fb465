// @ts-check
// Brings a model from its address into the page. Every 16 MiB are kept in the origin's private file system (OPFS), so that a download
// that was cut off goes on where it stopped, and a second visit needs none. Nothing is ever sent but the requests themselves.

/** @typedef {{name: string, bytes: Uint8Array}} File */
/** @typedef {{file: string, bytes: number, total: number | null}} Progress of all files together */
/** @typedef {{read(name: string): Promise<Uint8Array | null>, write(name: string, bytes: Uint8Array): Promise<void>}} Cache */

const PART = 16 * 2 ** 20;
const WANTED = /^(config|generation_config|tokenizer|tokenizer_config|special_tokens_map|model\.safetensors\.index)\.json$|^chat_template\.jinja$|^model(-\d+-of-\d+)?\.safetensors$/;

/** `owner/name` or its page at huggingface.co, perhaps with `/tree/<revision>`. @param {string} address */
export function parseAddress(address) {
  const match = /^(?:https:\/\/huggingface\.co\/)?([\w.-]+)\/([\w.-]+?)(?:\/(?:tree|blob|resolve)\/([\w.%-]+)(?:\/.*)?)?\/?$/.exec(address.trim());
  return match ? { owner: match[1], name: match[2], revision: match[3] ?? "main" } : null;
}

/**
 * @param {string} address
 * @param {{get: typeof fetch, cache: (folder: string) => Promise<Cache>, tell: (progress: Progress) => void, signal?: AbortSignal}} means
 * @returns {Promise<File[]>}
 */
export async function fetchModel(address, { get, cache, tell, signal }) {
  const repo = parseAddress(address);
  if (!repo) throw new TypeError("address");
  const about = await asked(get, `https://huggingface.co/api/models/${repo.owner}/${repo.name}/revision/${repo.revision}?blobs=true`, { signal });
  /** @type {{sha: string, siblings: {rfilename: string, size?: number}[]}} */
  const { sha, siblings } = await about.json();
  const wanted = siblings.filter(({ rfilename }) => WANTED.test(rfilename));
  if (!wanted.some(({ rfilename }) => rfilename.endsWith(".safetensors"))) throw new RangeError("safetensors");
  const sizes = wanted.map(({ size }) => size);
  const total = sizes.every((size) => size !== undefined) ? sizes.reduce((sum, size) => Number(sum) + Number(size), 0) : null;
  // The commit is part of the folder's name: parts of two versions are never mixed.
  const kept = await cache(`${repo.owner}--${repo.name}--${sha}`);
  let bytes = 0;
  const files = [];
  for (const { rfilename: name } of wanted) {
    const url = `https://huggingface.co/${repo.owner}/${repo.name}/resolve/${sha}/${name}`;
    const parts = await partsOf(name, url, { get, kept, signal, heard: (length) => tell({ file: name, bytes: (bytes += length), total: total ?? null }) });
    files.push({ name, bytes: joined(parts) });
  }
  return files;
}

/** The folder `fetched/<name>` of the origin's private file system. @param {string} name @returns {Promise<Cache>} */
export async function opfsCache(name) {
  const root = await navigator.storage.getDirectory();
  const folder = await (await root.getDirectoryHandle("fetched", { create: true })).getDirectoryHandle(name, { create: true });
  return {
    async read(file) {
      try {
        return new Uint8Array(await (await (await folder.getFileHandle(file)).getFile()).arrayBuffer());
      } catch (error) {
        if (error instanceof DOMException && error.name === "NotFoundError") return null;
        throw error;
      }
    },
    async write(file, bytes) {
      const writable = await (await folder.getFileHandle(file, { create: true })).createWritable();
      await writable.write(/** @type {Uint8Array<ArrayBuffer>} */ (bytes));
      await writable.close();
    },
  };
}

/**
 * @param {string} name @param {string} url
 * @param {{get: typeof fetch, kept: Cache, signal?: AbortSignal, heard: (length: number) => void}} means
 */
async function partsOf(name, url, { get, kept, signal, heard }) {
  const parts = [];
  // A part that is not full is the last one.
  for (let full = true; full; full = parts[parts.length - 1].length === PART) {
    const label = `${name}.${parts.length}`;
    let part = await kept.read(label);
    if (!part) {
      const from = parts.length * PART;
      const response = await asked(get, url, { signal, headers: { Range: `bytes=${from}-${from + PART - 1}` } });
      // 416: the file ended with the part before. 200: the server knows no ranges and sends everything at once.
      if (response.status === 200 && parts.length > 0) throw new Error(`${name}: the server cannot go on in the middle of a file`);
      part = response.status === 416 ? new Uint8Array() : new Uint8Array(await response.arrayBuffer());
      await kept.write(label, part);
      if (response.status === 200) {
        heard(part.length);
        return [part];
      }
    }
    parts.push(part);
    heard(part.length);
  }
  return parts;
}

/** @param {typeof fetch} get @param {string} url @param {RequestInit} options */
async function asked(get, url, options) {
  const response = await get(url, options);
  if (!response.ok && response.status !== 416) throw new Error(`${url}: ${response.status}`);
  return response;
}

/** @param {Uint8Array[]} parts */
function joined(parts) {
  if (parts.length === 1) return parts[0];
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let offset = 0;
  for (const part of parts) {
    whole.set(part, offset);
    offset += part.length;
  }
  return whole;
}
