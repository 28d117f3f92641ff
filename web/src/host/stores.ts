/** The store files of worker vats, as seen from the document that makes their realms. */

import { STORES_FOLDER } from "../shared/assets.ts";

/** Deletes the stores of all vats but `vats`. One that a realm still holds is left for the next time. */
export async function deleteOtherStores(vats: readonly string[]): Promise<void> {
  const root = await navigator.storage.getDirectory();
  const stores = await root.getDirectoryHandle(STORES_FOLDER, { create: true });
  const kept = new Set(vats);
  for await (const name of stores.keys()) {
    if (kept.has(name)) continue;
    try {
      await stores.removeEntry(name, { recursive: true });
    } catch (error) {
      if (!(error instanceof DOMException && error.name === "NoModificationAllowedError")) throw error;
    }
  }
}
