/**
 * Parsing of values that cross a boundary: structured clones from another realm, JSON, untyped APIs.
 *
 * Every `parse` function returns a value of its type or throws a `ParseError` that names what was wrong.
 * Nothing inside the code checks again.
 */

export class ParseError extends Error {
  override name = "ParseError";
}

export type Fields = Readonly<Record<string, unknown>>;

export function parseFields(value: unknown, what: string): Fields {
  if (typeof value !== "object" || value === null)
    throw new ParseError(`${what} must be an object, not ${describe(value)}`);
  return value as Fields;
}

export function parseText(fields: Fields, name: string): string {
  const value = fields[name];
  if (typeof value !== "string") throw new ParseError(`${name} must be text, not ${describe(value)}`);
  return value;
}

export function parseInteger(fields: Fields, name: string): number {
  const value = fields[name];
  if (typeof value !== "number" || !Number.isSafeInteger(value))
    throw new ParseError(`${name} must be an integer, not ${describe(value)}`);
  return value;
}

export function parseBoolean(fields: Fields, name: string): boolean {
  const value = fields[name];
  if (typeof value !== "boolean") throw new ParseError(`${name} must be true or false, not ${describe(value)}`);
  return value;
}

export function parseList(fields: Fields, name: string): readonly unknown[] {
  const value = fields[name];
  if (!Array.isArray(value)) throw new ParseError(`${name} must be a list, not ${describe(value)}`);
  return value as readonly unknown[];
}

/** One of `choices`. */
export function parseChoice<Choice extends string>(fields: Fields, name: string, choices: readonly Choice[]): Choice {
  const value = fields[name];
  const found = choices.find((choice) => choice === value);
  if (found === undefined) throw new ParseError(`${name} must be one of ${choices.join(", ")}, not ${describe(value)}`);
  return found;
}

export function describe(value: unknown): string {
  if (value === null) return "null";
  if (typeof value === "string") return `the text ${JSON.stringify(value.slice(0, 100))}`;
  if (typeof value === "number" || typeof value === "boolean") return String(value);
  return Array.isArray(value) ? "a list" : typeof value;
}

/** What went wrong, with the whole chain of causes, for a log or a person. */
export function describeError(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const text = `${error.name}: ${error.message}`;
  return error.cause === undefined ? text : `${text}\ncaused by ${describeError(error.cause)}`;
}
