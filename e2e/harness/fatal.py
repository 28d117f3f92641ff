"""An extension in which something can be made to die at a given point, on a word from a page of the extension.

Only a copy is changed: the kernel's service worker counts its transactions, and does nothing more from just before or
just after the one that it was told, until it is stopped; the vat host ends one of its realms behind its own back.
`PAGE_SCRIPT` gives the word. All of them talk over a BroadcastChannel, so no debugger looks at any of them.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

WORKER_SCRIPT = """
{
  const channel = new BroadcastChannel("fatal");
  let plan = null;
  let count = 0;
  let isDead = false;
  channel.onmessage = ({ data }) => {
    if (data.kind === "plan") { plan = data.plan; count = 0; }
  };
  channel.postMessage({ kind: "born" });
  const begin = IDBDatabase.prototype.transaction;
  // Nothing asked of it is done or answered.
  const silence = () => ({ objectStore: () => new Proxy({}, { get: () => () => ({}) }) });
  const die = (stores, mode) => {
    isDead = true;
    channel.postMessage({ kind: "died", stores, mode });
  };
  IDBDatabase.prototype.transaction = function (stores, mode, options) {
    if (isDead) return silence();
    const isLast = plan !== null && ++count === plan.transactions;
    if (isLast && plan.side === "before") {
      die(stores, mode);
      return silence();
    }
    const transaction = begin.call(this, stores, mode, options);
    if (!isLast) return transaction;
    transaction.addEventListener("complete", () => die(stores, mode));
    return { objectStore: (name) => transaction.objectStore(name) };
  };
}
"""

VAT_HOST_SCRIPT = """
{
  const channel = new BroadcastChannel("fatal");
  const workers = [];
  const RealWorker = Worker;
  globalThis.Worker = class extends RealWorker {
    constructor(url, options) {
      super(url, options);
      if (String(url).includes("realm_worker")) workers.push(this);
    }
    terminate() {
      if (workers.includes(this)) workers.splice(workers.indexOf(this), 1);
      super.terminate();
    }
  };
  channel.onmessage = ({ data }) => {
    if (data.kind !== "end") return;
    const realms = data.realm === "worker" ? workers : [...document.querySelectorAll("iframe")];
    const realm = realms[data.choice % realms.length];
    if (data.realm === "worker" && realm) {
      realm.terminate();
      realm.dispatchEvent(new ErrorEvent("error", { message: "killed" }));
    } else if (realm) {
      realm.remove();
    }
    channel.postMessage({ kind: "ended", wasOne: realm !== undefined });
  };
}
"""

PAGE_SCRIPT = """
(() => {
  const channel = new BroadcastChannel("fatal");
  let plan = null;
  let hear = () => undefined;
  channel.onmessage = ({ data }) => {
    if (data.kind === "born") {
      if (plan !== null) channel.postMessage({ kind: "plan", plan });
    } else {
      hear(data);
    }
  };
  const answer = (kind, timeoutMs) => new Promise((resolve) => {
    const timer = setTimeout(() => resolve(null), timeoutMs);
    hear = (data) => {
      if (data.kind !== kind) return;
      clearTimeout(timer);
      resolve(data);
    };
  });
  globalThis.fatal = {
    /** Has the next service worker get a plan at once, for so long. */
    prepare(transactions, side, timeoutMs) {
      plan = { transactions, side };
      this.death = answer("died", timeoutMs);
    },
    /** Gives the present service worker a plan. */
    plan(transactions, side, timeoutMs) {
      this.prepare(transactions, side, timeoutMs);
      channel.postMessage({ kind: "plan", plan });
    },
    /** What the service worker did when it died; null if it did not in time, and will not. */
    async died() {
      const death = await this.death;
      plan = null;
      channel.postMessage({ kind: "plan", plan });
      return death;
    },
    /** Ends a realm of a kind. Whether there was one. */
    async end(realm, choice) {
      const ended = answer("ended", 1_000);
      channel.postMessage({ kind: "end", realm, choice });
      return (await ended)?.wasOne === true;
    },
  };
})()
"""


def make_fatal(extension: Path, folder: Path) -> Path:
    """A copy of a built extension in `folder`, with the scripts above in it."""
    shutil.copytree(extension, folder, copy_function=os.link)
    (vat_host,) = folder.glob("assets/offscreen-*.js")
    for path, script in ((folder / "service_worker.js", WORKER_SCRIPT), (vat_host, VAT_HOST_SCRIPT)):
        text = path.read_text("utf-8")
        path.unlink()  # it is a link to the one that stays as it is
        path.write_text(script + text, "utf-8")
    return folder
