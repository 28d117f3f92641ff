/** An instrumented module, as the vat host gives it to a realm: `kernel_py.wasm.metering.Metered` in part. */

import { parseBoolean, parseFields, parseList, ParseError, parseText } from "../shared/parse.ts";

export interface Prepared {
  readonly code: Uint8Array<ArrayBuffer>;
  /** Module and name of each import. */
  readonly imports: readonly (readonly [module: string, name: string])[];
  readonly hasStart: boolean;
  /** Why it cannot be a vat, or null. */
  readonly problem: string | null;
}

export function parsePrepared(value: unknown): Prepared {
  const fields = parseFields(value, "an instrumented module");
  const code = fields["code"];
  if (!(code instanceof Uint8Array)) throw new ParseError("an instrumented module must have code");
  return {
    code: code as Uint8Array<ArrayBuffer>,
    imports: parseList(fields, "imports").map(parseImport),
    hasStart: parseBoolean(fields, "hasStart"),
    problem: fields["problem"] === null ? null : parseText(fields, "problem"),
  };
}

function parseImport(value: unknown): [string, string] {
  const [module, name] = Array.isArray(value) ? (value as readonly unknown[]) : [];
  if (typeof module !== "string" || typeof name !== "string") throw new ParseError("an import must be two texts");
  return [module, name];
}
