/** Texts measured in characters, which are code points, as on the other side; JavaScript counts UTF-16 units. */

/** Whether there are more than `charsMax`. */
export function isLonger(text: string, charsMax: number): boolean {
  return text.length > charsMax && countChars(text) > charsMax;
}

/** The first `charsMax`. */
export function cutEnd(text: string, charsMax: number): string {
  return text.length <= charsMax ? text : text.slice(0, findUnit(text, charsMax));
}

/** `text` without its middle, if it is longer than `charsMax`. */
export function cutMiddle(text: string, charsMax: number): string {
  if (!isLonger(text, charsMax)) return text;
  const chars = Array.from(text);
  const half = Math.max(0, Math.floor((charsMax - 40) / 2));
  const end = half === 0 ? "" : chars.slice(-half).join("");
  return `${chars.slice(0, half).join("")}\n... ${chars.length - 2 * half} characters left out ...\n${end}`;
}

export function countChars(text: string): number {
  return text.length - (text.match(/[\ud800-\udbff][\udc00-\udfff]/g)?.length ?? 0);
}

/** By code points, which is also the order of the UTF-8. */
export function compareChars(first: string, second: string): number {
  const length = Math.min(first.length, second.length);
  for (let index = 0; index < length; index++) {
    const one = first.charCodeAt(index);
    const other = second.charCodeAt(index);
    if (one !== other) return rank(one) - rank(other);
  }
  return first.length - second.length;
}

/** Surrogates stand for characters beyond all others. */
function rank(unit: number): number {
  return unit >= 0xd800 && unit < 0xe000 ? unit + 0x10000 : unit;
}

/** The index at which the character of this number begins, or the text's end. */
function findUnit(text: string, char: number): number {
  let unit = 0;
  for (const each of text) {
    if (char-- === 0) break;
    unit += each.length;
  }
  return unit;
}
