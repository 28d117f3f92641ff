"""Upgrades: new code for a vat that keeps its name, its references and its durable state.

An upgrade is two items in the vat's queue: bringOutYourDead for the old incarnation, then the start of the new one.
What makes it all or nothing is that everything else happens when the new incarnation's start is complete, in that
transaction:

* promises that the old incarnation decided are rejected with ``{incarnationNumber, name: "vatUpgraded",
  upgradeMessage}``; those that the vat itself watches stay in its c-list for the notify;
* objects that it exported and that are not durable become orphans; its root and its durable objects stay, and so does
  all that it imported.

If the start fails, in whichever way, the vat goes back to the old incarnation, as if nothing had been asked.

While the new incarnation starts the vat's record says that it is the current one, so that whoever makes a realm makes
that.

Source: SwingSet's ``processUpgradeVat``; the reference, 2.6.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from kernel_py.core import kmarshal, schema
from kernel_py.core.bundles import Bundles
from kernel_py.core.cranks import Cranks
from kernel_py.core.promises import Promises
from kernel_py.core.schema import ItemKind, PromiseState, Upgrade, Vat, VatState
from kernel_py.core.shared import Shared
from kernel_py.core.vats import VatEnd
from kernel_py.wire.capdata import CapData
from kernel_py.wire.errors import RequestError
from kernel_py.wire.refs import ROOT_VREF

Answer = Callable[[str, dict[str, Any] | None, str], None]


@dataclass(frozen=True, slots=True)
class NewCode:
    """What an upgrade asks for. A use of the bundle is counted."""

    bundle: str
    main: str
    parameters: CapData
    message: str


class Upgrades:
    """The upgrades under way over one state."""

    def __init__(self, shared: Shared, promises: Promises, cranks: Cranks, bundles: Bundles, answer: Answer) -> None:
        self._state = shared.state
        self._references = shared.references
        self._queues = shared.queues
        self._log = shared.log
        self._promises = promises
        self._cranks = cranks
        self._bundles = bundles
        self._answer = answer

    def check(self, vat: str) -> None:
        """Check that a vat can be upgraded.

        Raises:
            RequestError: it does not run, or is being upgraded.
        """
        record = self._state.get(schema.VATS, vat)
        if record.state is not VatState.RUNNING:
            is_so = f"{vat} ({record.name}) is {record.state}"
            raise RequestError(f"{is_so}: only what is {VatState.RUNNING} can be upgraded", "params.vat")
        if self._state.get(schema.UPGRADES, vat) is not None:
            raise RequestError(f"{vat} is being upgraded already; wait until that is over", "params.vat")

    def request(self, vat: str, code: NewCode, request: str) -> None:
        """Queue the upgrade of a vat that was checked; the answer to `request` follows.

        Args:
            request: see `schema.Upgrade`; a promise that is to be settled is held by the caller.
        """
        upgrade = Upgrade(request, code.bundle, code.main, code.parameters.body, code.parameters.slots, code.message)
        self._state.set(schema.UPGRADES, vat, upgrade)
        for kref in upgrade.slots:
            self._references.take_hold(kref)
        self._queues.append(vat, ItemKind.REAP, None)
        self._queues.append(vat, ItemKind.UPGRADE, None)

    def begin(self, vat: str) -> CapData:
        """The item's turn has come: the new incarnation is current. Returns the parameters of its start."""
        upgrade, record = self._get(vat)
        delivered = self._state.get(schema.COUNTERS, vat).delivered
        self._bundles.take(upgrade.bundle)
        sources = (*record.sources, (delivered + 1, upgrade.bundle, upgrade.main))
        self._state.set(schema.VATS, vat, record._replace(incarnation=record.incarnation + 1, sources=sources))
        self._log.outbox.restarts.append(vat)
        return CapData(upgrade.body, upgrade.slots)

    def retire_old(self, vat: str) -> None:
        """The new incarnation has started: what the old one owed and what died with it. Before the batch is applied."""
        upgrade, record = self._get(vat)
        reason = {
            "incarnationNumber": float(record.incarnation - 1),
            "name": "vatUpgraded",
            "upgradeMessage": upgrade.message,
        }
        table = schema.clist_table(vat)
        vrefs = sorted(row for row in self._state.iter_rows(table) if row[0] != "k")
        for vref in vrefs:
            kref = self._state.get(table, vref)
            if vref[0] == "p":
                self._reject(vat, kref, kmarshal.serialize(reason))
            elif vref.startswith("o+") and vref != ROOT_VREF and not vref.startswith("o+d"):
                self._references.delete_entry(vat, kref)
                self._references.orphan(kref)

    def _reject(self, vat: str, kpid: str, reason: CapData) -> None:
        promise = self._references.get_promise(kpid)
        if promise.decider == vat and promise.state is PromiseState.UNRESOLVED:
            self._promises.settle(kpid, reason, is_reject=True)
            if vat not in promise.subscribers:
                self._references.delete_entry(vat, kpid)

    def complete(self, vat: str) -> None:
        """The start is complete, its batch applied."""
        upgrade, record = self._get(vat)
        self._forget(vat, upgrade)
        self._log.vat(vat, record.name, "upgraded", upgrade.message)
        self._answer(upgrade.request, {"incarnation": record.incarnation}, "")

    def undo(self, vat: str, reason: str) -> None:
        """The start failed: back to the old incarnation."""
        upgrade, record = self._get(vat)
        self._cranks.rewind(vat)
        sources = record.sources[:-1]
        self._state.set(schema.VATS, vat, record._replace(incarnation=record.incarnation - 1, sources=sources))
        self._bundles.drop(upgrade.bundle)
        self._forget(vat, upgrade)
        self._log.outbox.restarts.append(vat)
        self._log.fault(vat, "UpgradeFailed", reason)
        self._answer(upgrade.request, None, f"{vat} ({record.name}) was not upgraded and goes on as it was: {reason}")

    def vat_lost(self, vat: str, end: VatEnd) -> None:
        """The vat was terminated; an upgrade that was under way is no more."""
        upgrade = self._state.get(schema.UPGRADES, vat)
        if upgrade is not None:
            self._forget(vat, upgrade)
            self._answer(upgrade.request, None, f"{vat} was terminated before it was upgraded: {end.reason}")

    def _forget(self, vat: str, upgrade: Upgrade) -> None:
        self._state.delete(schema.UPGRADES, vat)
        self._bundles.drop(upgrade.bundle)
        for kref in upgrade.slots:
            self._references.drop_hold(kref)

    def _get(self, vat: str) -> tuple[Upgrade, Vat]:
        return self._state.get(schema.UPGRADES, vat), self._state.get(schema.VATS, vat)
