// @ts-check
// Where a model and data come from: dropped, chosen, or fetched.

import { fetchModel, opfsCache, parseAddress } from "../fetch_model.js";
import { acceptDrops, readAll, readWithin, runFolder, topmost, unzipped } from "../files.js";
import { words } from "../i18n.js";
import { button, field } from "../kit.js";
import { freshId, h } from "../views/dom.js";
import { mebibytes } from "../views/format.js";

/** @import { NamedBytes } from "../files.js" */

/** @param {(files: NamedBytes[]) => void} chosen @param {(lines: string) => void} said a run folder's `events.jsonl` */
export function modelBox(chosen, said) {
  const status = words(h("p", { role: "status" }), "own.nomodel");
  const take = (/** @type {NamedBytes[]} */ files) => {
    const bytes = files.reduce((sum, file) => sum + file.bytes.length, 0);
    words(status, "own.fetched", { files: files.map(({ name }) => name).join(", "), size: mebibytes(bytes) });
    chosen(files);
  };
  const read = async (/** @type {Iterable<File>} */ files) => {
    const run = runFolder([...files]);
    take(await readAll(run?.model ?? topmost([...files])));
    if (run?.events) said(await run.events.text());
  };
  const zone = h("div", { class: "drop" }, words(h("p"), "own.drop_model"), h("div", { class: "row" }, chooser("own.files", { multiple: true }, read), chooser("own.folder", { webkitdirectory: true }, read)));
  acceptDrops(zone, read);
  return h("div", {}, zone, fetcher(status, take), status);
}

/** @param {(file: NamedBytes) => void} chosen */
export function dataBox(chosen) {
  const status = words(h("p", { role: "status" }), "own.nodata");
  const read = async (/** @type {Iterable<File>} */ files) => {
    const [given] = await readAll([...files].slice(0, 1));
    if (!given) return;
    const file = await unzipped(given).catch(() => null);
    if (!file) return words(status, "own.bad_gzip", { name: given.name });
    words(status, "own.have_data", { name: file.name, size: mebibytes(file.bytes.length) });
    chosen(file);
  };
  const zone = h("div", { class: "drop" }, words(h("p"), "own.drop_data"), chooser("own.files", { accept: ".jsonl,.json,.gz,.txt" }, read));
  acceptDrops(zone, read);
  return h("div", {}, zone, status);
}

/** A run folder to be gone on with. @param {(run: NamedBytes[] | null) => void} chosen null: it is none */
export function runChooser(chosen) {
  return chooser("own.adopt", { webkitdirectory: true }, async (files) => {
    const run = runFolder([...files]);
    chosen(run && (await readWithin(run.rest)));
  });
}

/** A file input whose label looks like a button. @param {string} key @param {Record<string, any>} attributes @param {(files: FileList) => void} read */
function chooser(key, attributes, read) {
  const id = freshId("file");
  const input = h("input", { type: "file", id, class: "file", ...attributes, change: () => input.files && read(input.files) });
  return h("span", { class: "chooser" }, input, words(h("label", { for: id }), key));
}

/** @param {HTMLElement} status @param {(files: NamedBytes[]) => void} take */
function fetcher(status, take) {
  const address = h("input", { type: "text", inputmode: "url", autocomplete: "off", spellcheck: "false", placeholder: "https://huggingface.co/owner/name" });
  const meter = h("progress", { max: 1, value: 0, hidden: true, "aria-hidden": "true" });
  /** @type {AbortController | null} */
  let running = null;
  const stop = button("own.cancel", () => running?.abort(), { hidden: true });
  const go = words(h("button", { type: "submit" }), "own.fetch");
  const submit = async (/** @type {SubmitEvent} */ event) => {
    event.preventDefault();
    if (!parseAddress(address.value)) return words(status, "own.bad_address");
    running = new AbortController();
    meter.hidden = stop.hidden = false;
    go.disabled = true;
    try {
      take(await fetchModel(address.value, { get: fetch, cache: opfsCache, tell, signal: running.signal }));
    } catch (error) {
      if (error instanceof RangeError) words(status, "own.no_weights");
      else words(status, "own.fetch_failed", { message: error instanceof Error ? error.message : String(error) });
    } finally {
      meter.hidden = stop.hidden = true;
      go.disabled = false;
    }
  };
  const tell = (/** @type {import("../fetch_model.js").Progress} */ { file, bytes, total }) => {
    const [done, all] = [mebibytes(bytes), mebibytes(total)];
    if (total === null) words(status, "own.fetching_unknown", { file, done });
    else words(status, "own.fetching", { file, done, total: all });
    meter.value = total ? bytes / total : 0;
  };
  return h("form", { class: "row grow", submit }, field("own.address", address), go, stop, meter);
}
