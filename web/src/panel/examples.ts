/** The clusters of `examples/`, bundled when the page is built. */

/// <reference types="vite/client" />

import { CONFIG_PATH, nameOf, type Draft } from "./launches.ts";

export interface Example {
  readonly name: string;
  /** The first line of the docstring of the file that bootstraps it; or "". */
  readonly summary: string;
  readonly draft: Draft;
}

const texts = import.meta.glob<string>(["../../../examples/*/cluster.json", "../../../examples/*/**/*.py"], {
  query: "?raw",
  import: "default",
  eager: true,
});

export const EXAMPLES: readonly Example[] = gather(texts);

function gather(texts: Readonly<Record<string, string>>): readonly Example[] {
  const folders = Map.groupBy(Object.entries(texts), ([path]) => path.split("/examples/")[1]?.split("/")[0] ?? "");
  return [...folders]
    .map(([folder, entries]) => {
      const byPath = new Map(
        entries.map(([path, text]) => [path.slice(path.indexOf(`/${folder}/`) + folder.length + 2), text]),
      );
      const config = byPath.get(CONFIG_PATH) ?? "";
      byPath.delete(CONFIG_PATH);
      return makeExample(folder, { config, files: byPath });
    })
    .filter(({ draft }) => draft.config !== "")
    .sort((a, b) => a.name.localeCompare(b.name));
}

export function makeExample(folder: string, draft: Draft): Example {
  const config: unknown = JSON.parse(draft.config || "null");
  const main = sourcesOf(config).find(({ vat }) => vat === bootstrapOf(config));
  return { name: folder || nameOf(config), summary: docstringOf(draft.files.get(main?.source ?? "") ?? ""), draft };
}

/** The sources that a config names, by vat. Whatever is not as it should be is left out: the kernel tells. */
export function sourcesOf(config: unknown): readonly { readonly vat: string; readonly source: string }[] {
  if (typeof config !== "object" || config === null || !("vats" in config)) return [];
  if (typeof config.vats !== "object" || config.vats === null) return [];
  return Object.entries(config.vats).flatMap(([vat, spec]: [string, unknown]) =>
    typeof spec === "object" && spec !== null && "source" in spec && typeof spec.source === "string"
      ? [{ vat, source: spec.source }]
      : [],
  );
}

function bootstrapOf(config: unknown): string {
  return typeof config === "object" && config !== null && "bootstrap" in config ? String(config.bootstrap) : "";
}

function docstringOf(source: string): string {
  return /^\s*"""(.*?)(?:"""|\n)/.exec(source)?.[1]?.trim() ?? "";
}
