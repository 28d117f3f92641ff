/**
 * A kernel for tests of the panel: it keeps the control interface's promises, and breaks its ports when told to.
 *
 * Like the real one it carries a command out once per idempotency key, keeps the answer until it is acknowledged,
 * and loses nothing but ports when its worker dies. What a vat would do is a few canned replies.
 */

import { RequestError } from "../api.ts";
import type { Port } from "../rpc.ts";
import { parseFields, parseText, type Fields } from "../../shared/parse.ts";

type Json = Readonly<Record<string, unknown>>;

interface Vat {
  vat: string;
  name: string;
  cluster: string;
  kind: string;
  state: string;
  reason: string;
  incarnation: number;
  root: string;
  deliveries: number;
  queued: number;
  inflight: boolean;
  memory_bytes: number | null;
  realm: string;
  fault: string;
}

interface Cluster {
  cluster: string;
  name: string;
  state: string;
  reason: string;
  vats: Record<string, string>;
  bootstrap: string;
}

interface Command {
  /** How often it was carried out: 1, if all is well. */
  executions: number;
  response: string | null;
}

interface Link {
  readonly deliver: (text: string) => void;
  readonly hangUp: (reason: string) => void;
  isSubscribed: boolean;
}

/** Text that a fake vat's source may contain, to make its start fail. */
const BROKEN_SOURCE = "raise";

export class FakeKernel {
  /** Every request that arrived, in order, acknowledgements included. */
  readonly arrived: { readonly method: string; readonly id: string }[] = [];
  readonly commands = new Map<string, Command>();
  readonly clusters: Cluster[] = [];
  readonly vats: Vat[] = [];
  readonly objects: Record<string, unknown>[] = [];
  /** The id of the next error, of which nothing is printed any more; "" for a new one. */
  nextErrorId = "";
  /** What an export gives, and an import leaves. */
  archive: string[] = ['{"format": "kernel_py archive"}\n', "[1]\n"];
  readonly #sent: string[] = [];
  readonly #links = new Set<Link>();
  readonly #held = new Set<string>();
  /** The method whose next request the worker does not survive; or "". */
  #deadly = "";
  #isMute = false;
  #refusal = "";
  #next = 1;
  #nextRef = 20;

  /** Opens a port, as the extension's `chrome.runtime.connect` does. */
  readonly connect = (): Port => {
    if (this.#refusal !== "") throw new Error(this.#refusal);
    let onMessage: (message: unknown) => void = () => undefined;
    let onDisconnect: (reason: string) => void = () => undefined;
    let isOpen = true;
    const isMute = this.#isMute;
    const link: Link = {
      isSubscribed: false,
      deliver: (text) => {
        queueMicrotask(() => {
          if (isOpen) onMessage(text);
        });
      },
      hangUp: (reason) => {
        isOpen = false;
        this.#links.delete(link);
        onDisconnect(reason);
      },
    };
    this.#links.add(link);
    return {
      postMessage: (text) => {
        if (!isOpen) throw new Error("the port is closed");
        if (isMute || !this.#links.has(link)) return;
        queueMicrotask(() => {
          if (this.#links.has(link)) this.#receive(link, text);
        });
      },
      onMessage: (listener) => {
        onMessage = listener;
      },
      onDisconnect: (listener) => {
        onDisconnect = listener;
      },
      disconnect: () => {
        isOpen = false;
        this.#links.delete(link);
      },
    };
  };

  // --- what tests do to it ---------------------------------------------------------------------

  /** The worker dies: every port disconnects. */
  kill(): void {
    for (const link of [...this.#links]) link.hangUp("the service worker was stopped");
  }

  /** The worker dies without a word: what is written on the present ports vanishes. */
  killSilently(): void {
    this.#links.clear();
  }

  /** Ports opened from now on lead nowhere. */
  mute(isMute: boolean): void {
    this.#isMute = isMute;
  }

  /** Ports cannot be opened; "" lets them again. */
  refuse(reason: string): void {
    this.#refusal = reason;
  }

  /** Commands of this method are not answered until `release`. */
  hold(method: string): void {
    this.#held.add(method);
  }

  release(): void {
    this.#held.clear();
    for (const [id, command] of this.commands) {
      const { response } = command;
      if (response !== null) for (const link of this.#links) link.deliver(response);
      else console.warn(`${id} has no answer`);
    }
  }

  /** The worker dies when the next request of this method arrives, before it is taken up. */
  dieOn(method: string): void {
    this.#deadly = method;
  }

  emit(event: Json): void {
    for (const link of this.#links) {
      if (link.isSubscribed)
        link.deliver(JSON.stringify({ jsonrpc: "2.0", method: "event", params: { time_ms: Date.now(), ...event } }));
    }
  }

  /** Many messages between two vats, four events each. */
  emitTraffic(count: number): void {
    const [sender, receiver] = [this.vats[0]?.vat ?? "v1", this.vats[1]?.vat ?? "v2"];
    for (let number = 1; number <= count; number++) {
      const promise = `kp${String(1_000 + number)}`;
      const call = { target: "ko21", method: "deposit", args: `amount=${String(number)}`, result: promise };
      this.emit({ class: "Sent", vat: sender, number, ...call });
      this.emit({ class: "Got", vat: receiver, number, ...call });
      this.emit({ class: "Fulfilled", vat: receiver, number, promise, value: String(number * 10) });
      this.emit({ class: "Notified", vat: sender, number: number + 1, promises: [promise] });
    }
  }

  sendRaw(text: string): void {
    for (const link of this.#links) link.deliver(text);
  }

  // --- the control interface -------------------------------------------------------------------

  #receive(link: Link, text: string): void {
    const call = parseFields(JSON.parse(text), "request");
    const method = parseText(call, "method");
    const params = parseFields(call["params"] ?? {}, "params");
    if (this.#deadly === method) {
      this.#deadly = "";
      this.kill();
      return;
    }
    if (method === "ack") {
      const id = parseText(params, "id");
      this.arrived.push({ method, id });
      this.commands.delete(id);
      return;
    }
    if (method === "archive") {
      this.#sent.push(parseText(params, "text"));
      return;
    }
    const id = parseText(call, "id");
    this.arrived.push({ method, id });
    if (method === "subscribe") link.isSubscribed = true;
    if (method === "export")
      for (const [index, piece] of this.archive.entries())
        link.deliver(JSON.stringify({ jsonrpc: "2.0", method: "archive", params: { id, index, text: piece } }));
    const response = this.#respond(id, method, params);
    if (response !== null && !this.#held.has(method)) link.deliver(response);
  }

  #respond(id: string, method: string, params: Fields): string | null {
    switch (method) {
      case "ping":
      case "subscribe":
        return result(id, {});
      case "status":
        return result(id, this.#status());
      case "objects":
        return result(id, this.#listObjects(params));
      case "export":
        return result(id, { parts: 1, pieces: this.archive.length });
      case "import":
        this.archive = this.#sent.splice(0);
        return result(id, { parts: 1 });
      default: {
        const known = this.commands.get(id);
        if (known !== undefined) return known.response;
        const command = { executions: 1, response: this.#carryOut(id, method, params) };
        this.commands.set(id, command);
        return command.response;
      }
    }
  }

  #carryOut(id: string, method: string, params: Fields): string {
    try {
      switch (method) {
        case "launch":
          return result(id, this.launch(params["config"], parseFields(params["files"], "files")));
        case "send":
          return result(
            id,
            this.#send(parseText(params, "target"), parseText(params, "method"), parseText(params, "args")),
          );
        case "terminateVat":
          this.#checkAlive(parseText(params, "vat"));
          this.#terminate(
            this.vats.filter(({ vat }) => vat === params["vat"]),
            textOr(params["reason"], "terminated from outside"),
          );
          return result(id, {});
        case "terminateCluster": {
          const reason = textOr(params["reason"], "terminated from outside");
          this.#terminate(
            this.vats.filter(({ cluster }) => cluster === params["cluster"]),
            reason,
          );
          for (const cluster of this.clusters.filter((each) => each.cluster === params["cluster"])) {
            cluster.state = "terminated";
            cluster.reason = reason;
            this.emit({ class: "Cluster", cluster: cluster.cluster, name: cluster.name, state: "terminated", reason });
          }
          return result(id, {});
        }
        case "pauseVat":
          return result(id, this.#change(params, "paused"));
        case "resumeVat":
        case "restartVat":
          return result(id, this.#change(params, "running"));
        case "upgradeVat": {
          const text = Object.values(parseFields(params["files"], "files")).join("");
          if (text.includes(BROKEN_SOURCE)) refuse("the new code did not start; the old one goes on", "params.files");
          for (const vat of this.vats) if (vat.vat === params["vat"]) vat.incarnation++;
          return result(id, { incarnation: 1 });
        }
        case "revoke":
          this.#findObject(params)["revoked"] = true;
          return result(id, {});
        case "pin":
        case "unpin":
          this.#findObject(params)["pinned"] = method === "pin";
          return result(id, {});
        case "collectGarbage":
          this.objects.splice(0, Infinity, ...this.objects.filter((object) => object["reachable"] !== 0));
          return result(id, { vats: [] });
        default:
          throw new RequestError(`unknown method ${method}`, "RequestError", "", -32_601);
      }
    } catch (error) {
      if (!(error instanceof RequestError)) throw error;
      const { code, message, kind, path } = error;
      return JSON.stringify({ jsonrpc: "2.0", id, error: { code, message, data: { kind, path } } });
    }
  }

  launch(config: unknown, files: Fields): Json {
    const fields = parseFields(config, "config");
    const vats = fields["vats"];
    if (typeof vats !== "object" || vats === null) refuse("vats is required", "config");
    const number = this.clusters.length + 1;
    const bootstrap = String(fields["bootstrap"]);
    const cluster: Cluster = {
      cluster: `c${String(number)}`,
      name: textOr(fields["name"], bootstrap),
      state: "running",
      reason: "",
      vats: {},
      bootstrap,
    };
    for (const [name, spec] of Object.entries(parseFields(vats, "config.vats"))) {
      const { source, kind = "iframe" } = parseFields(spec, name);
      const text = files[String(source)];
      if (typeof text !== "string")
        refuse(
          `there is no file '${String(source)}'; given are: ${Object.keys(files).join(", ")}`,
          `config.vats.${name}.source`,
        );
      if (text.includes(BROKEN_SOURCE))
        throw new RequestError(failedStart(cluster.name, name, String(source)), "RequestError", "", -32_000);
      cluster.vats[name] = this.#addVat(name, cluster.cluster, String(kind)).vat;
    }
    const root = this.vats.find(({ vat }) => vat === cluster.vats[bootstrap])?.root;
    if (root === undefined)
      refuse(
        `there is no vat '${bootstrap}'; the vats are: ${Object.keys(cluster.vats).join(", ")}`,
        "config.bootstrap",
      );
    this.clusters.push(cluster);
    this.emit({ class: "Cluster", cluster: cluster.cluster, name: cluster.name, state: "running", reason: "" });
    return {
      cluster: cluster.cluster,
      vats: cluster.vats,
      root,
      result: fulfilled(`{'escrow': <Escrow ${root}>, 'ready': True}`),
    };
  }

  addObject(vat: string, iface: string): string {
    const kref = `ko${String(this.#nextRef++)}`;
    this.objects.push({ kref, vat, iface: `Alleged: ${iface}`, reachable: 1, recognizable: 1 });
    return kref;
  }

  #addVat(name: string, cluster: string, kind: string): Vat {
    const vat = `v${String(this.vats.length + 1)}`;
    const made: Vat = {
      vat,
      name,
      cluster,
      kind,
      state: "running",
      reason: "",
      incarnation: 0,
      root: this.addObject(vat, name.charAt(0).toUpperCase() + name.slice(1)),
      deliveries: 3 + this.#next++,
      queued: 0,
      inflight: false,
      memory_bytes: 31_457_280,
      realm: "ready",
      fault: "",
    };
    this.vats.push(made);
    this.emit({ class: "Vat", vat, name, state: "running", reason: "" });
    return made;
  }

  #checkAlive(id: string): void {
    if (this.vats.some(({ vat, state }) => vat === id && state === "terminated"))
      refuse(`${id} was terminated already`, "params.vat");
  }

  #terminate(vats: readonly Vat[], reason: string): void {
    for (const vat of vats) {
      Object.assign(vat, { state: "terminated", reason, memory_bytes: null, realm: "", inflight: false });
      this.emit({ class: "Vat", vat: vat.vat, name: vat.name, state: "terminated", reason });
      for (const object of this.objects) if (object["vat"] === vat.vat) object["vat"] = null;
    }
  }

  #change(params: Fields, state: string): Json {
    for (const vat of this.vats) if (vat.vat === params["vat"]) vat.state = state;
    return {};
  }

  #findObject(params: Fields): Record<string, unknown> {
    return this.objects.find(({ kref }) => kref === params["object"]) ?? refuse("no such object", "params.object");
  }

  #send(target: string, method: string, args: string): Json {
    const object = this.objects.find(({ kref }) => kref === target);
    if (object === undefined)
      refuse(`there is no object ${target}; ask \`objects\` for those there are`, "params.target");
    if (args.endsWith("("))
      refuse("not Python literals: '(' was never closed; write for example 3, 'x', ko23, amount=5", "args");
    const promise = `kp${String(40 + this.#next++)}`;
    const vat = String(object["vat"]);
    const number = this.#next;
    this.emit({ class: "Got", vat, number, target, method, args, result: promise });
    if (method === "fail") {
      const value = "ValueError('insufficient funds: 3 of 5')";
      const isPrinted = this.nextErrorId === "";
      const id = isPrinted ? `error:liveSlots:${vat}#${70_000 + number}` : this.nextErrorId;
      const lines = isPrinted ? `${id}: ${TRACEBACK}`.split("\n") : [];
      for (const text of lines) this.emit({ class: "Console", vat, number, text });
      this.emit({ class: "Rejected", vat, number, promise, value });
      return {
        status: "rejected",
        value,
        body: `#{"#error":"insufficient funds: 3 of 5","errorId":"${id}","name":"ValueError"}`,
        slots: [],
      };
    }
    const value =
      method === "make" ? `<Purse ${this.addObject(vat, "Purse")}>` : `['${method}', ${args === "" ? "None" : args}]`;
    this.emit({ class: "Fulfilled", vat, number, promise, value });
    return fulfilled(value);
  }

  #status(): Json {
    return {
      kernel: {
        cranks: 1_284,
        objects: this.objects.length,
        promises: 4,
        inflight: this.vats.filter(({ inflight }) => inflight).length,
        problem: "",
        boot: "image",
        store: "indexeddb",
      },
      clusters: this.clusters,
      vats: this.vats,
    };
  }

  #listObjects(params: Fields): Json {
    const objects = this.objects.filter(({ vat }) => params["vat"] === undefined || vat === params["vat"]);
    const offset = Number(params["offset"] ?? 0);
    return { objects: objects.slice(offset, offset + Number(params["limit"] ?? 500)), total: objects.length };
  }
}

function result(id: string, value: unknown): string {
  return JSON.stringify({ jsonrpc: "2.0", id, result: value });
}

function textOr(value: unknown, fallback: string): string {
  return typeof value === "string" ? value : fallback;
}

function fulfilled(value: string): Json {
  return {
    status: "fulfilled",
    value,
    body: `#${JSON.stringify(value)}`,
    slots: [...value.matchAll(/ko\d+/g)].map(String),
  };
}

function refuse(message: string, path: string): never {
  throw new RequestError(`${path}: ${message}`, "RequestError", path, -32_602);
}

function failedStart(cluster: string, vat: string, source: string): string {
  return `cluster '${cluster}' was not launched: vat '${vat}' (v1) failed: Traceback (most recent call last):
  File "ledger.py", line 4, in open_ledger
    return ledgers[name]
           ~~~~~~~^^^^^^
KeyError: 'main'

The above exception was the direct cause of the following exception:

Traceback (most recent call last):
  File "${source}", line 3, in build_root_object
    raise RuntimeError("the ledger cannot be opened") from error
RuntimeError: the ledger cannot be opened`;
}

const TRACEBACK = `Traceback (most recent call last):
  File "bank.py", line 31, in withdraw
    raise ValueError(f"insufficient funds: {self.balance} of {amount}")
ValueError: insufficient funds: 3 of 5`;
