/**
 * Services of the host's that are written in TypeScript: what a kernel is given, and how Python calls them.
 *
 * `kernel_py/hosts/browser/services.py` is the other end: calls and answers are JSON, in which bytes are
 * `{"$bytes": base64}`. A call is made once the kernel has it in its store, and not before. If the service worker dies under
 * it, the call is rejected as interrupted, or made again if the service says that it is idempotent.
 */

import { parseFields, parseList, parseText, type Fields } from "../shared/parse.ts";

export interface ServiceCall {
  readonly method: string;
  readonly args: readonly unknown[];
  readonly kwargs: Fields;
  /** What the cluster file says of the grant; it fits `configSchema`. */
  readonly config: unknown;
}

export interface Service {
  /** By which a cluster file asks for it. */
  readonly name: string;
  readonly methods: readonly string[];
  /** A JSON Schema, of the part that `kernel_py.core.jsonschema` knows. */
  readonly configSchema: object;
  readonly isIdempotent: boolean;
  /** Carries out a call. The arguments are a vat's: they may be anything that JSON can say. */
  call(call: ServiceCall): Promise<unknown>;
}

/** What Python is told of the services. */
export function declareServices(services: readonly Service[]): string {
  return JSON.stringify(services.map((each) => [each.name, each.methods, each.configSchema, each.isIdempotent]));
}

/** Has a service carry out a call; the answer as JSON. */
export async function callService(services: readonly Service[], name: string, text: string): Promise<string> {
  const service = services.find((each) => each.name === name);
  if (service === undefined) throw new Error(`there is no service ${name}`);
  const fields = parseFields(JSON.parse(text), "a call");
  const value = await service.call({
    method: parseText(fields, "method"),
    args: parseList(fields, "args"),
    kwargs: parseFields(fields["kwargs"], "kwargs"),
    config: fields["config"],
  });
  return JSON.stringify(value === undefined ? null : value);
}
