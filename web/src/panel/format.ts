/** Figures and times as people read them. */

const BYTE_UNITS = ["B", "KiB", "MiB", "GiB"] as const;

export function formatBytes(bytes: number | null): string {
  if (bytes === null) return "–";
  let size = bytes;
  let unit: string = BYTE_UNITS[0];
  for (const next of BYTE_UNITS.slice(1)) {
    if (size < 1024) break;
    size /= 1024;
    unit = next;
  }
  return `${size >= 100 || unit === "B" ? size.toFixed(0) : size.toFixed(1)} ${unit}`;
}

const count = new Intl.NumberFormat("en-US");

export function formatCount(number: number): string {
  return count.format(number);
}

export function plural(number: number, noun: string): string {
  return `${formatCount(number)} ${noun}${number === 1 ? "" : "s"}`;
}

/** Time of day with milliseconds. */
export function formatTime(timeMs: number): string {
  const time = new Date(timeMs);
  const [hours, minutes, seconds] = [time.getHours(), time.getMinutes(), time.getSeconds()].map((part) =>
    String(part).padStart(2, "0"),
  );
  return `${hours ?? ""}:${minutes ?? ""}:${seconds ?? ""}.${String(time.getMilliseconds()).padStart(3, "0")}`;
}

export function formatDuration(ms: number): string {
  if (ms < 1_000) return `${ms.toFixed(0)} ms`;
  if (ms < 60_000) return `${(ms / 1_000).toFixed(1)} s`;
  const minutes = Math.floor(ms / 60_000);
  if (minutes < 60) return `${String(minutes)} min ${String(Math.floor((ms % 60_000) / 1_000))} s`;
  return `${String(Math.floor(minutes / 60))} h ${String(minutes % 60)} min`;
}

/** The first line, and whether there is more. */
export function firstLine(text: string): { readonly line: string; readonly more: number } {
  const lines = text.split("\n");
  return { line: lines[0] ?? "", more: lines.length - 1 };
}
