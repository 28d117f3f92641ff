/**
 * Cluster launches: what is about to be launched, and what came of it.
 *
 * Owns the draft in the launch dialog and the launches under way.
 */

import { signal, type ReadonlySignal } from "@preact/signals";
import { RequestError, type Launched } from "./api.ts";
import type { Call, RpcClient } from "./rpc.ts";
import { describeError } from "../shared/parse.ts";

/** The cluster file's name in a draft. */
export const CONFIG_PATH = "cluster.json";

/** A cluster file and its Python files, as text; not necessarily valid. */
export interface Draft {
  readonly config: string;
  /** Python sources by path, in the order in which they are shown. */
  readonly files: ReadonlyMap<string, string>;
}

export interface Launch {
  readonly id: string;
  readonly name: string;
  readonly draft: Draft;
  readonly startedMs: number;
  readonly delivered: ReadonlySignal<boolean>;
}

/** Why a draft was not launched. `path` leads into the config, such as `config.vats.alice`; or is "". */
export interface LaunchProblem {
  readonly draft: Draft;
  readonly error: RequestError;
}

export class Launches {
  readonly #rpc: RpcClient;
  readonly #launched: (launched: Launched, name: string) => void;
  readonly #running = signal<readonly Launch[]>([]);
  readonly #problem = signal<LaunchProblem | null>(null);

  constructor(rpc: RpcClient, launched: (launched: Launched, name: string) => void) {
    this.#rpc = rpc;
    this.#launched = launched;
  }

  /** Launches without an answer. */
  get running(): ReadonlySignal<readonly Launch[]> {
    return this.#running;
  }

  /** What went wrong with the last launch; null if nothing did. */
  get problem(): ReadonlySignal<LaunchProblem | null> {
    return this.#problem;
  }

  dismissProblem(): void {
    this.#problem.value = null;
  }

  /** Launches a draft. Returns whether the cluster is up; if not, `problem` says why. */
  async launch(draft: Draft): Promise<boolean> {
    this.#problem.value = null;
    try {
      const config = parseConfig(draft.config);
      const call = this.#rpc.call("launch", { config, files: Object.fromEntries(draft.files) });
      const name = nameOf(config);
      this.#launched(await this.#track(call, draft, name), name);
      return true;
    } catch (error) {
      const refusal = error instanceof RequestError ? error : new RequestError(describeError(error), "", "", 0);
      this.#problem.value = { draft, error: refusal };
      return false;
    }
  }

  async #track(call: Call<"launch">, draft: Draft, name: string): Promise<Launched> {
    const launch = { id: call.id, name, draft, startedMs: Date.now(), delivered: call.delivered };
    this.#running.value = [...this.#running.value, launch];
    try {
      return await call.answer;
    } finally {
      this.#running.value = this.#running.value.filter(({ id }) => id !== call.id);
    }
  }
}

function parseConfig(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new RequestError(`not JSON: ${error instanceof Error ? error.message : String(error)}`, "JSON", "config", 0);
  }
}

/** What to call a config; the kernel says whether it is one. */
export function nameOf(config: unknown): string {
  if (typeof config !== "object" || config === null) return "cluster";
  if ("name" in config && typeof config.name === "string") return config.name;
  if ("bootstrap" in config && typeof config.bootstrap === "string") return config.bootstrap;
  return "cluster";
}
