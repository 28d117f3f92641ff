/** Files that were dropped, or chosen, as a draft: one cluster file, and the Python files and wheels around it. */

import { CONFIG_PATH, type Draft } from "./launches.ts";

/** Text files larger than this are refused: the kernel's limit on all sources is 10,000,000 characters. */
const FILE_BYTES_MAX = 10_000_000;
const FILES_MAX = 1_000;

interface NamedFile {
  readonly path: string;
  readonly file: File;
}

/** All files in what was dropped, folders opened. Call it in the event's own turn: the list is empty afterwards. */
export async function takeDropped(transfer: DataTransfer): Promise<readonly NamedFile[]> {
  const dropped = [...transfer.items].map((item) => ({ entry: item.webkitGetAsEntry(), file: item.getAsFile() }));
  const lists = dropped.map(async ({ entry, file }) => {
    if (entry !== null) return await readEntry(entry, "");
    return file === null ? [] : [{ path: file.name, file }];
  });
  return (await Promise.all(lists)).flat();
}

/** Files of an `<input type="file">`. */
export function takeChosen(files: FileList): readonly NamedFile[] {
  return [...files].map((file) => ({
    path: file.webkitRelativePath === "" ? file.name : file.webkitRelativePath,
    file,
  }));
}

/**
 * A draft from `named`; what is not there is taken over from `draft`, unless a cluster file starts a new one.
 *
 * @throws if there is nothing usable.
 */
export async function makeDraft(named: readonly NamedFile[], draft: Draft): Promise<Draft> {
  const usable = named.filter(({ path }) => /\.(json|py|whl)$/.test(path)).slice(0, FILES_MAX);
  if (usable.length === 0) throw new Error("none of these is a .json, .py or .whl file");
  const large = usable.find(({ file }) => file.size > FILE_BYTES_MAX);
  if (large !== undefined)
    throw new Error(`${large.path} has ${String(large.file.size)} bytes; that is too large for a source`);
  const configs = usable.filter(({ path }) => path.endsWith(".json"));
  const config = configs.find(({ path }) => baseName(path) === CONFIG_PATH) ?? configs[0];
  const folder = config === undefined ? "" : config.path.slice(0, config.path.length - baseName(config.path).length);
  const files = new Map(config === undefined ? draft.files : []);
  for (const { path, file } of usable) {
    if (path.endsWith(".json")) continue;
    const text = path.endsWith(".whl") ? await readBase64(file) : await file.text();
    files.set(path.startsWith(folder) ? path.slice(folder.length) : path, text);
  }
  return { config: config === undefined ? draft.config : await config.file.text(), files };
}

/** A binary file as a launch request takes it. */
async function readBase64(file: File): Promise<string> {
  const bytes = new Uint8Array(await file.arrayBuffer());
  let text = "";
  // In portions: a call takes only so many arguments.
  for (let at = 0; at < bytes.length; at += 0x8000) text += String.fromCharCode(...bytes.subarray(at, at + 0x8000));
  return btoa(text);
}

function baseName(path: string): string {
  return path.split("/").at(-1) ?? path;
}

async function readEntry(entry: FileSystemEntry, folder: string): Promise<readonly NamedFile[]> {
  const path = `${folder}${entry.name}`;
  if (entry instanceof FileSystemFileEntry) {
    const file = await new Promise<File>((resolve, reject) => {
      entry.file(resolve, reject);
    });
    return [{ path, file }];
  }
  if (!(entry instanceof FileSystemDirectoryEntry) || /^(\.|__pycache__|node_modules)/.test(entry.name)) return [];
  const reader = entry.createReader();
  const found: NamedFile[] = [];
  // Entries come in portions; an empty one is the last.
  for (;;) {
    const entries = await new Promise<FileSystemEntry[]>((resolve, reject) => {
      reader.readEntries(resolve, reject);
    });
    if (entries.length === 0) return found;
    for (const child of entries) found.push(...(await readEntry(child, `${path}/`)));
  }
}
