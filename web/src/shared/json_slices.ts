/** Cuts values out of JSON text as they stand there, without reading them. The text must be well-formed. */

const OPENING = /[[{]/;
const STRUCTURE = /["[\]{}]/g;
const SCALAR_END = /[,\]}]/g;

/** The texts of the items of the array whose bracket is at `start`. */
export function sliceItems(text: string, start: number): string[] {
  const items: string[] = [];
  let at = start + 1;
  while (text[at] !== "]") {
    const end = findEnd(text, at);
    items.push(text.slice(at, end));
    at = text[end] === "," ? end + 1 : end;
  }
  return items;
}

/** The text of the value that begins at `start`. */
export function sliceValue(text: string, start: number): string {
  return text.slice(start, findEnd(text, start));
}

function findEnd(text: string, start: number): number {
  const first = text[start] ?? "";
  if (first === '"') return findQuote(text, start + 1) + 1;
  if (!OPENING.test(first)) return findNext(SCALAR_END, text, start);
  let depth = 1;
  let at = start;
  while (depth > 0) {
    at = findNext(STRUCTURE, text, at + 1);
    const found = text[at];
    if (found === '"') at = findQuote(text, at + 1);
    else if (found === "[" || found === "{") depth++;
    else depth--;
  }
  return at + 1;
}

/** The end of the text whose content begins at `start`. */
function findQuote(text: string, start: number): number {
  let at = start;
  for (;;) {
    const quote = text.indexOf('"', at);
    if (quote < 0) return text.length;
    let escapes = 0;
    while (text[quote - 1 - escapes] === "\\") escapes++;
    if (escapes % 2 === 0) return quote;
    at = quote + 1;
  }
}

function findNext(pattern: RegExp, text: string, start: number): number {
  pattern.lastIndex = start;
  return pattern.exec(text)?.index ?? text.length;
}
