/**
 * Keeps instrumented modules in the browser, by what they were made from.
 *
 * Owns one cache of the origin's, which has the digest of the instrumentation in its name: another build starts afresh.
 *
 * Invariants: what is found is what was kept, by its digest; all entries together are at most `BYTES_MAX`, those that were
 * used longest ago going first. What goes wrong with it costs time only, and is told to nobody but the log.
 */

import { parsePrepared, type Prepared } from "../wasm/prepared.ts";

/** Modules grow by half when they are instrumented; this is a dozen large ones. */
const BYTES_MAX = 200_000_000;

const PREFIX = "modules-";
const DIGEST = "x-digest";
const FACTS = "x-facts";

export class ModuleCache {
  readonly #cache: Promise<Cache>;

  /** `settings`: a digest of whatever else the results depend on. */
  constructor(settings: Promise<string>) {
    this.#cache = settings.then((digest) => open(PREFIX + digest));
    this.#cache.catch(() => undefined);
  }

  async find(key: string): Promise<Prepared | null> {
    try {
      const cache = await this.#cache;
      const found = await cache.match(urlOf(key));
      if (found === undefined) return null;
      const code = new Uint8Array(await found.clone().arrayBuffer());
      // The newest entry is the last one.
      await cache.delete(urlOf(key));
      if (found.headers.get(DIGEST) !== (await digest(code))) return null;
      await cache.put(urlOf(key), found);
      return parsePrepared({ ...(JSON.parse(found.headers.get(FACTS) ?? "null") as object), code, problem: null });
    } catch (error) {
      console.error("an instrumented module cannot be read", error);
      return null;
    }
  }

  async keep(key: string, { code, imports, hasStart }: Prepared): Promise<void> {
    try {
      const cache = await this.#cache;
      const headers = {
        [DIGEST]: await digest(code),
        [FACTS]: JSON.stringify({ imports, hasStart }),
        "content-length": String(code.length),
      };
      await cache.put(urlOf(key), new Response(code, { headers }));
      await prune(cache);
    } catch (error) {
      console.error("an instrumented module cannot be kept", error);
    }
  }
}

export async function digest(data: BufferSource): Promise<string> {
  const bytes = new Uint8Array(await crypto.subtle.digest("SHA-256", data));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** A cache is indexed by URLs; nothing serves these. */
function urlOf(key: string): string {
  return `https://modules.invalid/${key}`;
}

async function open(name: string): Promise<Cache> {
  for (const other of await caches.keys()) if (other.startsWith(PREFIX) && other !== name) await caches.delete(other);
  return await caches.open(name);
}

async function prune(cache: Cache): Promise<void> {
  let room = BYTES_MAX;
  for (const request of [...(await cache.keys())].reverse()) {
    room -= Number((await cache.match(request))?.headers.get("content-length"));
    if (room < 0) await cache.delete(request);
  }
}
