/**
 * The panel's state: what it knows of the kernel, what is selected, what is under way.
 *
 * Owns the connection and all that is shown; the views read signals and call methods, and hold nothing but their
 * own form fields. Status is asked for when events say that it changed, at most `REFRESH_MS` apart, and every
 * `POLL_MS` all the same; nothing is asked while nobody looks.
 */

import { computed, signal, type ReadonlySignal, type Signal } from "@preact/signals";
import type { ClusterStatus, KernelEvent, KernelObject, Launched, Settled, Status, VatStatus } from "./api.ts";
import { Actions, type Surroundings } from "./actions.ts";
import { ErrorReports } from "./error_reports.ts";
import { formatDuration } from "./format.ts";
import { Launches, type Draft } from "./launches.ts";
import { LogBuffer } from "./log_buffer.ts";
import { ObjectList } from "./object_list.ts";
import { RpcClient, type Connect, type Connection } from "./rpc.ts";
import { Sends } from "./sends.ts";
import { StateFile } from "./state_file.ts";
import { Travel } from "./travel.ts";
import { describeError } from "../shared/parse.ts";

const REFRESH_MS = 250;
/** A kernel that takes long to answer is asked less often: it shall not spend more than a tenth of its time so. */
const REST_PER_ANSWER = 10;
const REST_MS_MAX = 10_000;
const POLL_MS = 5_000;
const NOTICES_MAX = 20;

/** What the inspector shows. */
export type Selection =
  | { readonly kind: "kernel" }
  | { readonly kind: "cluster"; readonly cluster: string }
  | { readonly kind: "vat"; readonly vat: string };

/** Something that went wrong outside of a send or a launch. */
export interface Notice {
  readonly number: number;
  readonly title: string;
  readonly text: string;
}

/** The parts of the page; where there is no room, one is shown at a time. */
export type Tab = "clusters" | "send" | "log";

/** Places that the keyboard can be sent to, by the id of the element; with the tab that holds it. */
export const PLACES = {
  "clusters-grid": "clusters",
  "vat-filter": "clusters",
  "object-table": "clusters",
  "send-target": "send",
  "send-method": "send",
  history: "send",
  "log-grid": "log",
  "log-filter": "log",
} as const satisfies Readonly<Record<string, Tab>>;

/** Which dialog is open. */
export type DialogState =
  | { readonly kind: "none" }
  | { readonly kind: "launch"; readonly draft: Draft | null }
  | { readonly kind: "terminate"; readonly what: "vat" | "cluster"; readonly id: string; readonly name: string }
  | { readonly kind: "upgrade"; readonly vat: string; readonly name: string }
  | { readonly kind: "revoke"; readonly kref: string; readonly iface: string }
  | { readonly kind: "import"; readonly file: File }
  | { readonly kind: "shortcuts" };

export class PanelModel {
  readonly rpc: RpcClient;
  readonly sends: Sends;
  readonly launches: Launches;
  readonly actions: Actions;
  readonly stateFile: StateFile;
  readonly travel: Travel;
  readonly log: LogBuffer;
  readonly objects: ObjectList;
  readonly errors = new ErrorReports();
  readonly #status = signal<Status | null>(null);
  readonly #notices = signal<readonly Notice[]>([]);
  readonly #announcement = signal("");
  readonly #results = signal<ReadonlyMap<string, Settled>>(new Map());
  /** Since when a vat is in the delivery that it is in, by vat. */
  readonly #busy = signal<ReadonlyMap<string, { readonly deliveries: number; readonly sinceMs: number }>>(new Map());
  readonly selection = signal<Selection>({ kind: "kernel" });
  readonly tab = signal<Tab>("clusters");
  /** What is in the composer's fields. */
  readonly composer = { target: signal(""), method: signal(""), args: signal("") } as const;
  readonly dialog: Signal<DialogState> = signal<DialogState>({ kind: "none" });
  /** Milliseconds, renewed each second while somebody looks. */
  readonly nowMs = signal(Date.now());
  #number = 0;
  #refreshTimer: number | undefined;
  #restMs = REFRESH_MS;
  /** What the last status took. */
  #tookMs = 0;
  #isRefreshing = false;
  /** Counts what asked for a refresh. */
  #wishes = 0;
  #stops: (() => void)[] = [];

  constructor(connect: Connect) {
    this.rpc = new RpcClient(connect, {
      onEvent: (event) => {
        this.#takeEvent(event);
      },
      onGap: (fromMs, toMs) => {
        const text = `no connection for ${formatDuration(toMs - fromMs)}: events in between are not shown`;
        this.log.add({ class: "Panel", timeMs: toMs, vat: "", text });
        this.refresh();
      },
      onPiece: (piece) => {
        this.stateFile.take(piece);
      },
      onProblem: (text) => {
        this.notify("The kernel sent something unexpected", text);
      },
    });
    const announce = (text: string): void => {
      this.#announcement.value = text;
    };
    this.log = new LogBuffer((vat) => this.#vats.peek().get(vat)?.name ?? "");
    this.sends = new Sends(this.rpc, announce);
    const around: Surroundings = {
      announce,
      notify: (title, text) => {
        this.notify(title, text);
      },
      refresh: () => {
        this.refresh();
      },
    };
    this.actions = new Actions(this.rpc, around);
    this.stateFile = new StateFile(this.rpc, around);
    this.travel = new Travel(this.rpc, around);
    this.selection.subscribe(() => {
      this.actions.forget();
      this.travel.end();
    });
    this.objects = new ObjectList(this.rpc, this.selection, this.#vats, (error) => {
      this.notify("Objects could not be listed", describeError(error));
    });
    this.launches = new Launches(this.rpc, (launched, name) => {
      this.#takeLaunched(launched, name);
    });
  }

  get connection(): ReadonlySignal<Connection> {
    return this.rpc.connection;
  }

  /** Null until the kernel answered for the first time. */
  get status(): ReadonlySignal<Status | null> {
    return this.#status;
  }

  get notices(): ReadonlySignal<readonly Notice[]> {
    return this.#notices;
  }

  /** What just happened, for those who do not see the page. */
  get announcement(): ReadonlySignal<string> {
    return this.#announcement;
  }

  /** What bootstrap answered, by cluster, for those launched from this page. */
  get results(): ReadonlySignal<ReadonlyMap<string, Settled>> {
    return this.#results;
  }

  readonly #vats = computed<ReadonlyMap<string, VatStatus>>(
    () => new Map((this.#status.value?.vats ?? []).map((vat) => [vat.vat, vat])),
  );

  get vats(): ReadonlySignal<ReadonlyMap<string, VatStatus>> {
    return this.#vats;
  }

  findVat(vat: string): VatStatus | undefined {
    return this.#vats.value.get(vat);
  }

  findCluster(cluster: string): ClusterStatus | undefined {
    return this.#status.value?.clusters.find((other) => other.cluster === cluster);
  }

  /** The interface and owner of a reference, as far as they are known here. */
  describeRef(kref: string): string {
    const object = this.objects.known.value.get(kref);
    const root = this.#status.value?.vats.find((vat) => vat.root === kref);
    const owner = root ?? (object === undefined ? undefined : this.findVat(object.vat));
    const isOfService = owner === undefined && object !== undefined && object.vat !== "";
    const other = isOfService ? ` of the ${this.nameOwner(object)}` : "";
    const where = owner === undefined ? other : ` in vat ${owner.name} (${owner.vat})`;
    if (object !== undefined && object.iface !== "") return `${object.iface}${where}`;
    return root === undefined ? "" : `root object${where}`;
  }

  /** Whose an object is, for people. */
  nameOwner({ vat }: KernelObject): string {
    if (vat === "") return "–";
    const [, service] = /^service\.(.*)$/.exec(vat) ?? [];
    return service === undefined ? (this.findVat(vat)?.name ?? vat) : `${service} service`;
  }

  /** Everything that a message can be sent to, as far as it is known here; roots first. */
  readonly targets: ReadonlySignal<readonly KernelObject[]> = computed(() => {
    const known = this.objects.known.value;
    const living = (this.#status.value?.vats ?? []).filter(({ state, root }) => state !== "terminated" && root !== "");
    const roots = living.map(
      ({ root, vat }) =>
        known.get(root) ?? {
          kref: root,
          vat,
          iface: "root",
          reachable: "",
          recognizable: "",
          isPinned: false,
          isRevoked: false,
        },
    );
    const rootRefs = new Set(roots.map(({ kref }) => kref));
    const owners = new Set(living.map(({ vat }) => vat));
    return [...roots, ...[...known.values()].filter(({ kref, vat }) => owners.has(vat) && !rootRefs.has(kref))];
  });

  /** How long a vat has been in one delivery; null if it is in none. */
  busyForMs(vat: string): number | null {
    const busy = this.#busy.value.get(vat);
    return busy === undefined ? null : Math.max(0, this.nowMs.value - busy.sinceMs);
  }

  start(): void {
    this.rpc.start();
    this.sends.start();
    const attend = (): void => {
      const isVisible = document.visibilityState === "visible";
      this.rpc.attend(isVisible);
      if (isVisible) this.refresh();
    };
    document.addEventListener("visibilitychange", attend);
    const poll = setInterval(() => {
      if (document.visibilityState === "visible") this.refresh();
    }, POLL_MS);
    const tick = setInterval(() => {
      if (document.visibilityState === "visible") this.nowMs.value = Date.now();
    }, 1_000);
    this.#stops = [
      () => {
        document.removeEventListener("visibilitychange", attend);
        clearInterval(poll);
        clearInterval(tick);
      },
    ];
    attend();
  }

  stop(): void {
    for (const stop of this.#stops) stop();
    this.rpc.close();
  }

  notify(title: string, text: string): void {
    const last = this.#notices.value[0];
    if (last?.title === title && last.text === text) return;
    this.#notices.value = [{ number: ++this.#number, title, text }, ...this.#notices.value].slice(0, NOTICES_MAX);
  }

  dismiss(notice: Notice): void {
    this.#notices.value = this.#notices.value.filter(({ number }) => number !== notice.number);
  }

  /** Fills the composer in, as far as it is given, and moves the focus there. */
  compose(target: string, method?: string, args?: string): void {
    this.composer.target.value = target;
    if (method !== undefined) this.composer.method.value = method;
    if (args !== undefined) this.composer.args.value = args;
    this.focus("send-method");
  }

  /** Moves the focus, to another tab if need be: at once, so that the next key goes there, if the place is in sight. */
  focus(place: keyof typeof PLACES): void {
    this.tab.value = PLACES[place];
    const take = (): boolean => {
      const element = document.getElementById(place);
      element?.focus();
      return element !== null && element === document.activeElement;
    };
    if (!take()) requestAnimationFrame(take);
  }

  send(target: string, method: string, args: string): void {
    this.sends.send(target, method, args);
    this.refresh();
  }

  async terminate(what: "vat" | "cluster", id: string, name: string, reason: string): Promise<void> {
    const why = reason === "" ? {} : { reason };
    try {
      if (what === "vat") await this.rpc.call("terminateVat", { vat: id, ...why }).answer;
      else await this.rpc.call("terminateCluster", { cluster: id, ...why }).answer;
      this.#announcement.value = `${what} ${name} terminated`;
    } catch (error) {
      this.notify(`${what === "vat" ? "Vat" : "Cluster"} ${name} was not terminated`, describeError(error));
    }
    this.refresh();
  }

  /** Asks for the status soon; many wishes make one request. */
  refresh(): void {
    this.#wishes++;
    // Where nobody looks, nobody asks: the kernel may want to sleep.
    if (document.visibilityState !== "visible") return;
    if (this.#isRefreshing || this.#refreshTimer !== undefined) return;
    this.#refreshTimer = setTimeout(() => {
      this.#refreshTimer = undefined;
      void this.#refresh();
    }, this.#restMs);
  }

  async #refresh(): Promise<void> {
    this.#isRefreshing = true;
    const askedMs = Date.now();
    const wishes = this.#wishes;
    try {
      const status = await this.rpc.call("status", {}).answer;
      this.nowMs.value = Date.now();
      const tookMs = this.nowMs.value - askedMs;
      // One slow answer may be a kernel that had to start, or a busy moment; two in a row are a slow kernel.
      const costMs = Math.min(tookMs, this.#tookMs);
      this.#tookMs = tookMs;
      this.#restMs = Math.min(REST_MS_MAX, Math.max(REFRESH_MS, costMs * REST_PER_ANSWER));
      this.#status.value = status;
      this.#trackBusy(status);
      this.#checkSelection(status);
      this.objects.refresh();
    } catch (error) {
      this.notify("The kernel's status is not available", describeError(error));
    } finally {
      this.#isRefreshing = false;
    }
    if (this.#wishes !== wishes) this.refresh();
  }

  #trackBusy(status: Status): void {
    const before = this.#busy.value;
    const busy = status.vats.filter(({ inflight }) => inflight);
    this.#busy.value = new Map(
      busy.map(({ vat, deliveries }) => {
        const known = before.get(vat);
        return [vat, known?.deliveries === deliveries ? known : { deliveries, sinceMs: Date.now() }];
      }),
    );
  }

  /** What was selected may be gone: a launch that failed is taken back. */
  #checkSelection(status: Status): void {
    const selected = this.selection.value;
    const isThere =
      selected.kind === "kernel" ||
      (selected.kind === "vat" && status.vats.some(({ vat }) => vat === selected.vat)) ||
      (selected.kind === "cluster" && status.clusters.some(({ cluster }) => cluster === selected.cluster));
    if (!isThere) this.selection.value = { kind: "kernel" };
  }

  #takeEvent(event: KernelEvent): void {
    this.log.add(event);
    this.errors.take(event);
    this.refresh();
  }

  #takeLaunched(launched: Launched, name: string): void {
    this.#results.value = new Map(this.#results.value).set(launched.cluster, launched.result);
    this.#announcement.value = `cluster ${name} launched`;
    this.selection.value = { kind: "cluster", cluster: launched.cluster };
    if (launched.root !== "") this.composer.target.value = launched.root;
    this.refresh();
  }
}
