/**
 * HTTP for the kernel's service `fetch`.
 *
 * The kernel has asked the cluster's rules about the URL. A browser does not say where a redirect leads before it has
 * followed it, so that the rules could not be asked again: redirects are not followed.
 */

import { parseFields, parseInteger, parseText, type Fields } from "../shared/parse.ts";

const CHUNK = 0x8000;

/** Carries out a request, both as JSON with bodies in base64: see `kernel_py/hosts/browser/services.py`. */
export async function fetchUrl(text: string): Promise<string> {
  const fields = parseFields(JSON.parse(text), "a request");
  const { body } = fields;
  const response = await fetch(parseText(fields, "url"), {
    method: parseText(fields, "method"),
    headers: parseHeaders(fields),
    body: typeof body === "string" ? Uint8Array.from(atob(body), (char) => char.charCodeAt(0)) : null,
    redirect: "manual",
    credentials: "omit",
    cache: "no-store",
    referrerPolicy: "no-referrer",
    signal: AbortSignal.timeout(parseInteger(fields, "secondsMax") * 1000),
  });
  if (response.type === "opaqueredirect")
    throw new Error("the server redirects, which a browser does not let the kernel check: fetch what it redirects to");
  const headers = [...response.headers];
  checkHeaders(headers, fields);
  const bytes = await readBody(response, parseInteger(fields, "bodyBytesMax"));
  return JSON.stringify({ status: response.status, headers: Object.fromEntries(headers), body: toBase64(bytes) });
}

function parseHeaders(fields: Fields): Record<string, string> {
  const headers = parseFields(fields["headers"], "headers");
  return Object.fromEntries(Object.keys(headers).map((name) => [name, parseText(headers, name)]));
}

function checkHeaders(headers: readonly (readonly [string, string])[], limits: Fields): void {
  const max = parseInteger(limits, "headersBytesMax");
  const size = headers.reduce((sum, [name, value]) => sum + name.length + value.length, 0);
  if (size > max) throw new Error(`the headers have more than ${max.toLocaleString("en")} bytes`);
}

async function readBody(response: Response, bytesMax: number): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  // Leaving the loop early cancels the stream.
  for await (const chunk of response.body ?? []) {
    chunks.push(chunk);
    size += chunk.length;
    if (size > bytesMax) throw new Error(`the body has more than ${bytesMax.toLocaleString("en")} bytes`);
  }
  const bytes = new Uint8Array(size);
  let offset = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, offset);
    offset += chunk.length;
  }
  return bytes;
}

function toBase64(bytes: Uint8Array): string {
  let text = "";
  for (let start = 0; start < bytes.length; start += CHUNK)
    text += String.fromCharCode(...bytes.subarray(start, start + CHUNK));
  return btoa(text);
}
