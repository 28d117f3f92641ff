/** Finds the place in a JSON text that a path such as `config.vats.alice.source` or `config.services[0]` leads to. */

export interface Span {
  readonly start: number;
  readonly end: number;
}

/** The names and indices of a path below its root. */
export function parsePath(path: string): readonly string[] {
  const steps = path.matchAll(/\.(\w+)|\[(?:(\d+)|'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)")\]/g);
  return [...steps].map(([, name, index, single, double]) => name ?? index ?? single ?? double ?? "");
}

/** The span of the value at `path` in `text`, or of the nearest value around it that exists; null if `text` is not JSON. */
export function locate(text: string, path: string): Span | null {
  try {
    JSON.parse(text);
  } catch {
    return null;
  }
  return new Scanner(text).find(parsePath(path));
}

/** Walks over text that is known to be JSON. */
class Scanner {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  find(path: readonly string[]): Span {
    this.#skipSpace();
    const [step, ...rest] = path;
    const start = this.#at;
    if (step !== undefined) {
      const found = this.#find(step, rest);
      if (found !== null) return found;
      this.#at = start;
    }
    this.#skipValue();
    return { start, end: this.#at };
  }

  /** Looks into the object or list that begins here. */
  #find(step: string, rest: readonly string[]): Span | null {
    const open = this.#text[this.#at];
    if (open !== "{" && open !== "[") return null;
    this.#at++;
    for (let index = 0; ; index++) {
      this.#skipSpace();
      if (this.#text[this.#at] === (open === "{" ? "}" : "]")) return null;
      let name = String(index);
      if (open === "{") {
        const start = this.#at;
        this.#skipValue();
        name = String(JSON.parse(this.#text.slice(start, this.#at)));
        this.#skipSpace();
        this.#at++; // the colon
      }
      if (name === step) return this.find(rest);
      this.#skipSpace();
      this.#skipValue();
      this.#skipSpace();
      if (this.#text[this.#at] === ",") this.#at++;
    }
  }

  #skipSpace(): void {
    while (/\s/.test(this.#text[this.#at] ?? "x")) this.#at++;
  }

  #skipValue(): void {
    const first = this.#text[this.#at];
    if (first === '"') {
      for (this.#at++; this.#text[this.#at] !== '"'; this.#at++) if (this.#text[this.#at] === "\\") this.#at++;
      this.#at++;
      return;
    }
    if (first !== "{" && first !== "[") {
      while (/[\w.+-]/.test(this.#text[this.#at] ?? "")) this.#at++;
      return;
    }
    for (let depth = 0; this.#at < this.#text.length;) {
      const char = this.#text[this.#at];
      if (char === '"') {
        this.#skipValue();
        continue;
      }
      this.#at++;
      if (char === "{" || char === "[") depth++;
      if ((char === "}" || char === "]") && --depth === 0) return;
    }
  }
}
