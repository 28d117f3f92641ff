/**
 * The vat host: makes, keeps and ends the realms of all vats, for whatever kernel lives just now.
 *
 * Owns the set of realms and the lease. It outlives the kernel, which may die at any moment: a new one says
 * `reconnect` with a higher epoch, and is given all realms with fresh ports.
 *
 * Invariants:
 * - Messages of an epoch other than the current one change nothing.
 * - At most one realm per vat. A realm is in `#realms` from its making until it is destroyed or lost.
 * - While the kernel has work in flight (and, after `reconnect`, until it says otherwise) it gets an event
 *   every `LEASE_MS`, which is well below the 30 s after which a service worker without events is stopped. Work
 *   that comes and goes quickly counts as work: the lease ends with a whole period without any.
 */

import type { HostMessage, KernelMessage, RealmId, RealmKind } from "../shared/messages.ts";
import type { Realm, RealmObserver } from "./realms.ts";

export const LEASE_MS = 10_000;

export interface VatHostOptions {
  /** Deliver a message to the kernel, waking it if need be. */
  readonly send: (message: HostMessage, ports: MessagePort[]) => void;
  readonly deleteOtherStores: (vats: readonly string[]) => void;
  readonly makeRealm: (vat: string, kind: RealmKind, observer: RealmObserver) => Realm;
}

interface Entry {
  readonly id: RealmId;
  readonly realm: Realm;
}

export class VatHost {
  readonly #options: VatHostOptions;
  readonly #realms = new Map<string, Entry>();
  #epoch = 0;
  #isBusy = false;
  /** Whether the kernel was busy at any time since the last tick. */
  #wasBusy = false;
  /** Runs while there is a lease to renew. */
  #timer: ReturnType<typeof setInterval> | undefined;

  constructor(options: VatHostOptions) {
    this.#options = options;
  }

  receive(message: KernelMessage): void {
    if (message.kind === "reconnect") {
      if (message.epoch > this.#epoch) this.#reconnect(message.epoch);
      return;
    }
    if (message.epoch !== this.#epoch) return;
    switch (message.kind) {
      case "create":
        this.#create({ vat: message.vat, incarnation: message.incarnation, realm: message.realm }, message.realmKind);
        break;
      case "destroy":
        this.#destroy(message.vat);
        break;
      case "stores":
        this.#options.deleteOtherStores(message.vats);
        break;
      case "lease":
        this.#setBusy(message.busy);
        break;
    }
  }

  #reconnect(epoch: number): void {
    this.#epoch = epoch;
    const entries = [...this.#realms.values()];
    const ports = entries.map(({ realm }) => connect(realm));
    this.#options.send({ kind: "living", epoch, realms: entries.map(({ id }) => id) }, ports);
    this.#setBusy(true);
  }

  #create(id: RealmId, kind: RealmKind): void {
    this.#destroy(id.vat);
    const realm = this.#options.makeRealm(id.vat, kind, {
      onBooted: (start) => {
        this.#options.send({ kind: "booted", epoch: this.#epoch, ...id, ...start }, []);
      },
      onLost: (reason) => {
        this.#lose(id, reason);
      },
    });
    this.#realms.set(id.vat, { id, realm });
    this.#options.send({ kind: "created", epoch: this.#epoch, ...id }, [connect(realm)]);
  }

  #destroy(vat: string): void {
    this.#realms.get(vat)?.realm.destroy();
    this.#realms.delete(vat);
  }

  #lose(id: RealmId, reason: string): void {
    if (this.#realms.get(id.vat)?.id.realm !== id.realm) return;
    this.#realms.delete(id.vat);
    this.#options.send({ kind: "lost", epoch: this.#epoch, ...id, reason }, []);
  }

  #setBusy(isBusy: boolean): void {
    this.#isBusy = isBusy;
    this.#wasBusy ||= isBusy;
    if (isBusy) this.#timer ??= setInterval(this.#tick, LEASE_MS);
  }

  readonly #tick = (): void => {
    if (!this.#wasBusy) {
      clearInterval(this.#timer);
      this.#timer = undefined;
      return;
    }
    this.#wasBusy = this.#isBusy;
    for (const { realm } of [...this.#realms.values()]) realm.check();
    this.#options.send({ kind: "lease", epoch: this.#epoch }, []);
  };
}

/** Give the realm a fresh port; returns the other end. */
function connect(realm: Realm): MessagePort {
  const { port1, port2 } = new MessageChannel();
  realm.connect(port1);
  return port2;
}
