/**
 * The form of syscalls, as `kernel_py.wire.syscalls` checks it: what a guest is told must be the same on every host.
 *
 * Whether the vat holds what it names is the kernel's to check, which trusts nothing of this.
 */

import { isLonger } from "./chars.ts";
import type { Limits } from "./limits.ts";

export interface Syscall {
  /** In canonical JSON form. */
  readonly json: readonly unknown[];
  readonly bodies: readonly string[];
  readonly slots: number;
}

interface CapData {
  readonly body: string;
  readonly slots: readonly string[];
}

const NUMBER = "(?:0|[1-9][0-9]{0,17})";
const VREF = new RegExp(`^(?:[op][+-]${NUMBER}|o\\+[dv]?${NUMBER}/${NUMBER}(?::${NUMBER})?)$`);

const REF_OPS: readonly unknown[] = ["dropImports", "retireImports", "retireExports", "abandonExports"];

/** Null if it is none. */
export function parseSyscall(value: unknown): Syscall | null {
  if (!Array.isArray(value)) return null;
  const [op, first, second] = value as readonly unknown[];
  if (value.length === 3 && op === "send") return parseSend(first, second);
  if (value.length === 3 && op === "exit") return parseExit(first, second);
  if (value.length !== 2) return null;
  if (op === "subscribe") return isPromise(first) ? { json: ["subscribe", first], bodies: [], slots: 0 } : null;
  if (op === "resolve") return parseResolve(first);
  if (REF_OPS.includes(op) && Array.isArray(first) && first.every(isObject))
    return { json: [op, first], bodies: [], slots: first.length };
  return null;
}

/** Whether it is within the limits of one syscall. */
export function isWithinLimits({ bodies, slots }: Syscall, limits: Limits): boolean {
  if (slots > limits.slots_max) return false;
  if (bodies.length === 0 || bodies.reduce((sum, { length }) => sum + length, 0) <= limits.body_chars_max) return true;
  return !isLonger(bodies.join(""), limits.body_chars_max);
}

function parseSend(target: unknown, message: unknown): Syscall | null {
  if (!isVref(target) || !isRecordOf(message, "methargs", "result")) return null;
  const methargs = parseCapdata(message.methargs);
  const result = message.result;
  if (methargs === null || !(result === null || isPromise(result))) return null;
  return { json: ["send", target, { methargs, result }], bodies: [methargs.body], slots: methargs.slots.length };
}

function parseExit(isFailure: unknown, info: unknown): Syscall | null {
  const data = parseCapdata(info);
  if (typeof isFailure !== "boolean" || data === null) return null;
  return { json: ["exit", isFailure, data], bodies: [data.body], slots: data.slots.length };
}

function parseResolve(resolutions: unknown): Syscall | null {
  if (!Array.isArray(resolutions)) return null;
  const parsed: unknown[] = [];
  const bodies: string[] = [];
  let slots = 0;
  for (const resolution of resolutions as readonly unknown[]) {
    if (!Array.isArray(resolution) || resolution.length !== 3) return null;
    const [promise, isReject, capdata] = resolution as readonly unknown[];
    const data = parseCapdata(capdata);
    if (!isPromise(promise) || typeof isReject !== "boolean" || data === null) return null;
    parsed.push([promise, isReject, data]);
    bodies.push(data.body);
    slots += data.slots.length;
  }
  return { json: ["resolve", parsed], bodies, slots };
}

function parseCapdata(value: unknown): CapData | null {
  if (!isRecordOf(value, "body", "slots")) return null;
  const { body, slots } = value;
  return typeof body === "string" && Array.isArray(slots) && slots.every(isVref) ? { body, slots } : null;
}

function isRecordOf<Name extends string>(value: unknown, ...names: Name[]): value is Record<Name, unknown> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return false;
  return Object.keys(value).length === names.length && names.every((name) => Object.hasOwn(value, name));
}

function isVref(value: unknown): value is string {
  return typeof value === "string" && VREF.test(value);
}

function isPromise(value: unknown): value is string {
  return isVref(value) && value.startsWith("p");
}

function isObject(value: unknown): value is string {
  return isVref(value) && !value.startsWith("p");
}
