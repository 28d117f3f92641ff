/**
 * The only script of a sandbox page: it starts one realm's worker, and tells if that fails.
 *
 * The page has an opaque origin and may load nothing but blobs. It is compiled into the page itself, and
 * named by its hash in the page's policy. No code of a vat runs in the page, only in its worker, which
 * has no way back to it.
 */

import type { SandboxCommand, SandboxReport, SandboxScripts } from "./protocol.ts";

/** A classic script, because module workers cannot be made of blobs here; it turns into the realm's module. */
const WORKER_SCRIPT = `onmessage = async ({ data, ports }) => {
  onmessage = null;
  const urls = Object.fromEntries(Object.entries(data).map(([name, blob]) => [name, URL.createObjectURL(blob)]));
  (await import(urls.realm)).startRealm(ports[0], urls);
};`;

function obey(command: SandboxCommand, ports: readonly MessagePort[]): void {
  switch (command.kind) {
    case "start":
      start(command.scripts, ports);
      break;
    case "ping":
      report({ kind: "alive" });
      break;
  }
}

function start(scripts: SandboxScripts, ports: readonly MessagePort[]): void {
  const worker = new Worker(URL.createObjectURL(new Blob([WORKER_SCRIPT], { type: "text/javascript" })));
  worker.onerror = (event) => {
    report({ kind: "failed", reason: `the realm's worker failed: ${event.message}` });
  };
  worker.postMessage(scripts, [...ports]);
}

function report(message: SandboxReport): void {
  // The embedder's origin is not known here, and nothing said is secret.
  parent.postMessage(message, "*");
}

addEventListener("message", (event: MessageEvent<SandboxCommand>) => {
  if (event.source === parent) obey(event.data, event.ports);
});
report({ kind: "alive" });
