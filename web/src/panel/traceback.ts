/**
 * Error texts taken apart: the kernel hands on what Python prints, tracebacks and chains of causes included.
 *
 * Nothing is lost: the parts, joined by what Python puts between them, are the text.
 */

/** One exception of a chain. */
export interface Failure {
  /** The line that names it, such as `ValueError: no such account`; or all of a text without traceback. */
  readonly summary: string;
  /** Its traceback with all that follows it, or "". */
  readonly traceback: string;
  /** How the failure that comes *before* this one in the list relates to it. */
  readonly relation: "" | "caused by" | "while handling";
}

const LINKS: readonly (readonly [text: string, relation: Failure["relation"]])[] = [
  ["The above exception was the direct cause of the following exception:", "caused by"],
  ["During handling of the above exception, another exception occurred:", "while handling"],
];
const TRACEBACK = "Traceback (most recent call last):";

/**
 * The failures in `text`, the last one first: it is what was seen, those after it are why.
 *
 * Python prints them the other way round. What is said before the first traceback is about all of them.
 */
export function parseFailures(text: string): readonly Failure[] {
  const start = text.indexOf(TRACEBACK);
  if (start < 0) return [{ summary: text, traceback: "", relation: "" }];
  const lead = text.slice(0, start).trim();
  const parts: { text: string; relation: Failure["relation"] }[] = [{ text: "", relation: "" }];
  for (const line of text.slice(start).split("\n")) {
    const link = LINKS.find(([wanted]) => line.trim() === wanted);
    const last = parts.at(-1);
    if (link !== undefined) parts.push({ text: "", relation: link[1] });
    else if (last !== undefined) last.text += `${line}\n`;
  }
  return parts
    .map(({ text: part }, index): Failure => {
      const summary = nameOf(part.trim());
      const isLast = index === parts.length - 1;
      return {
        summary: isLast && lead !== "" ? `${lead} ${summary}` : summary,
        traceback: part.trim(),
        // A link stands before the later failure; in the reversed list that is after it.
        relation: parts[index + 1]?.relation ?? "",
      };
    })
    .reverse();
}

/** The exception's own text: what follows the last frame. */
function nameOf(traceback: string): string {
  const lines = traceback.split("\n");
  const last = lines.findLastIndex((line) => line.startsWith("  "));
  const name = lines
    .slice(last + 1)
    .join("\n")
    .trim();
  return name === "" ? (lines.at(-1) ?? "").trim() : name;
}
