/** Stands in for a kernel that could not be started: answers every request with the reason. */

import { describeError, parseFields } from "../shared/parse.ts";
import type { KernelClient } from "./kernel.ts";

/** As `kernel_py.core.control.SERVER_ERROR`. */
const SERVER_ERROR = -32000;

export function connectToFailure(error: unknown, send: (text: string) => void): KernelClient {
  return {
    receive: (text) => {
      const id = findId(text);
      if (id === null) return;
      const data = { path: "", kind: error instanceof Error ? error.name : "Error" };
      send(
        JSON.stringify({
          jsonrpc: "2.0",
          id,
          error: { code: SERVER_ERROR, message: `the kernel could not start. ${describeError(error)}`, data },
        }),
      );
    },
    close: () => undefined,
  };
}

/** The id of a request; null if the text is none. */
function findId(text: string): string | null {
  try {
    const { id } = parseFields(JSON.parse(text), "a request");
    return typeof id === "string" ? id : null;
  } catch {
    return null;
  }
}
