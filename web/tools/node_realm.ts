/**
 * A realm in Node, for comparing heaps with those of a browser:
 *
 *     node node_realm.mjs <folder of the built extension>
 *
 * Takes texts of the kernel's on its standard input, one a line, and gives the vat's answers on its standard output. A snapshot
 * is answered with the heap's digest, whatever it was asked for.
 */

import { createHash } from "node:crypto";
import { createInterface } from "node:readline";

import { digestHeap } from "../src/kernel/heaps.ts";
import { fixEntropy, loadNodeBootOptions } from "../src/node/boot_options.ts";
import { bootRealm, type Heap } from "../src/realm/boot_realm.ts";
import { Conversation } from "../src/realm/conversation.ts";
import { freezeClocksAndEntropy } from "../src/realm/freeze.ts";
import { reportHeap } from "../src/realm/heap.ts";

async function main(): Promise<void> {
  const [folder] = process.argv.slice(2);
  if (folder === undefined) throw new Error("usage: node_realm.mjs <folder of the built extension>");
  const options = await loadNodeBootOptions(folder, console.error);
  freezeClocksAndEntropy();
  fixEntropy();
  // Freezing has taken Node's; digests are made with it.
  Reflect.set(crypto, "subtle", {
    digest: (_: string, data: Uint8Array) => createHash("sha256").update(data).digest(),
  });
  const { heap, problem } = await bootRealm(options);
  if (problem !== "") throw new Error(problem);
  const vat = new Conversation((text) => heap.receive.call(text, heap.module.HEAPU8.length), heap.base);
  console.log(vat.hello());
  for await (const line of createInterface({ input: process.stdin })) await answer(heap, vat, line, options.image);
}

async function answer(heap: Heap, vat: Conversation, line: string, image: Uint8Array): Promise<void> {
  const { texts, snapshot } = vat.receive(line);
  if (texts !== "") console.log(texts);
  if (snapshot === null) return;
  const report = reportHeap(heap, vat, image.slice().buffer, snapshot);
  if (report.kind === "snapshot") console.log(JSON.stringify(["digest", report.delivered, await digestHeap(report)]));
  else console.log(JSON.stringify(["failed", report.reason]));
  vat.afterSnapshot();
}

await main();
