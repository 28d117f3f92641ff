/** What a vat host and a sandbox page say to each other, by `postMessage` between windows. */

import { parseChoice, parseFields, parseText } from "../shared/parse.ts";

/** Vat host to sandbox page. */
export type SandboxCommand =
  /** Start the realm's worker; the realm's control port comes along. Sent once. */
  | { readonly kind: "start"; readonly scripts: SandboxScripts }
  /** Answer with `alive`. */
  | { readonly kind: "ping" };

/** Scripts as blobs, because the page may fetch nothing: the realm's own, and by name what it imports. */
export type SandboxScripts = { readonly realm: Blob } & Readonly<Record<string, Blob>>;

/** Sandbox page to vat host. */
export type SandboxReport =
  /** The page is there; also the answer to a ping. */
  { readonly kind: "alive" } | { readonly kind: "failed"; readonly reason: string };

export function parseSandboxReport(value: unknown): SandboxReport {
  const fields = parseFields(value, "a sandbox page's report");
  const kind = parseChoice(fields, "kind", ["alive", "failed"]);
  switch (kind) {
    case "alive":
      return { kind };
    case "failed":
      return { kind, reason: parseText(fields, "reason") };
  }
}
