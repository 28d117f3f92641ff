/** `DrivenSession` on standard input and output, a line each way; the argument is its limits. */

import { createInterface } from "node:readline";

import { DrivenSession } from "./driven_session.ts";

const session = new DrivenSession(process.argv[2] ?? "");
for await (const line of createInterface({ input: process.stdin })) console.log(await session.receive(line));
