"""The vat's side of the c-list: which values stand for which references.

Owns three tables.

* Exports: far objects of this vat. Held strongly from their first export until the kernel drops
  them (dropExports), then weakly until it retires them (retireExports) or nobody holds them.
* Presences: objects of other vats, held weakly: what the vat's code lets go is gone, and a new
  presence is made if the reference comes again. The interface is kept from the first time to the last, so that no
  text depends on when the collector ran.
* Promises known to the kernel, until they are settled on both sides. Each is either *imported*
  (the kernel or another vat settles it) or *exported* (this vat settles it, the kernel is told), or
  neither for the moment between its naming and the syscall that mentions it.

Invariants:
    * A value has one reference and a reference one value, as long as both live.
    * Numbers are never used twice; the counters are in the vat store under ``idCounters``, written at
      the end of each delivery that moved them.
    * Nothing that can be observed depends on when an object is collected.

Source: liveslots.js; the reference, 4.1 and 1.5.
"""

from __future__ import annotations

import weakref
from typing import Any

from kernel_py.vat.presence import Presence
from kernel_py.vat.promise import Promise
from kernel_py.vat.store import VatStore
from kernel_py.wire import canonical
from kernel_py.wire.errors import MarshalError
from kernel_py.wire.refs import ROOT_VREF, Vref, make_exported_object, make_exported_promise

_COUNTERS_KEY = "idCounters"
_FIRST_COUNTERS = {"exportID": 1, "collectionID": 1, "promiseID": 5}


class Slots:
    """The tables of one vat. See the module's docstring."""

    def __init__(self, store: VatStore) -> None:
        self._store = store
        text = store.get(_COUNTERS_KEY)
        self._counters: dict[str, int] = dict(_FIRST_COUNTERS) if text is None else canonical.load(text)
        self._are_counters_dirty = text is None

        self._retained: dict[Vref, object] = {}
        self._exports: dict[Vref, weakref.ref[Any]] = {}
        # By identity: a far object's own equality is no concern of ours. An entry dies with its object.
        self._export_names: dict[int, tuple[weakref.ref[Any], Vref]] = {}
        self._presences: dict[Vref, tuple[weakref.ref[Presence], str]] = {}

        self._promises: dict[str, Promise[Any]] = {}
        self.imported: dict[str, Promise[Any]] = {}
        self.exported: dict[str, Promise[Any]] = {}
        self._new: list[Vref | Promise[Any]] = []

    # Exports -----------------------------------------------------------------------------------

    def export_root(self, root: object) -> None:
        self._add_export(ROOT_VREF, root)

    def export(self, value: object) -> Vref:
        """The reference of a far object of this vat, which is held from now on."""
        known = self._export_names.get(id(value))
        if known is not None and known[0]() is value:
            vref = known[1]
            if vref not in self._retained:
                self._retained[vref] = value
            return vref
        vref = make_exported_object(self._next("exportID"))
        self._add_export(vref, value)
        self._new.append(vref)
        return vref

    def find_export(self, vref: str) -> object | None:
        """The far object of that name, unless the vat never exported it or it is gone."""
        value = self._retained.get(Vref(vref))
        if value is None:
            reference = self._exports.get(Vref(vref))
            return None if reference is None else reference()
        return value

    def drop_export(self, vref: Vref) -> None:
        """The kernel reaches it no more: only this vat keeps it alive now."""
        self._retained.pop(vref, None)

    def retire_export(self, vref: Vref) -> None:
        """The kernel has forgotten the name: if the object is exported again, it gets another."""
        value = self.find_export(vref)
        self._retained.pop(vref, None)
        self._exports.pop(vref, None)
        if value is not None:
            self._export_names.pop(id(value), None)

    def _add_export(self, vref: Vref, value: object) -> None:
        identity = id(value)
        names = self._export_names

        def forget(reference: weakref.ref[Any]) -> None:
            # At once: the identity may be another object's in the next moment. Nothing can observe it.
            known = names.get(identity)
            if known is not None and known[0] is reference:
                del names[identity]

        reference = weakref.ref(value, forget)
        names[identity] = reference, vref
        self._exports[vref] = reference
        self._retained[vref] = value

    # Presences ---------------------------------------------------------------------------------

    def provide_presence(self, vref: Vref, iface: str | None) -> Presence:
        """The presence of that name, made if there is none."""
        known = self._presences.get(vref)
        if known is not None:
            presence = known[0]()
            if presence is not None:
                return presence
            iface = known[1]
        elif iface is None:
            iface = f"Alleged: presence {vref}"
        presence = Presence(vref, iface)
        self._presences[vref] = weakref.ref(presence), iface
        return presence

    # Promises ----------------------------------------------------------------------------------

    def find_promise(self, vpid: str) -> Promise[Any] | None:
        return self._promises.get(vpid)

    def name_promise(self, promise: Promise[Any]) -> str:
        """The promise's name, a new one if the kernel does not know it."""
        if promise.vpid is None:
            self.register_promise(self.make_vpid(), promise)
            self._new.append(promise)
        assert promise.vpid is not None
        return promise.vpid

    def make_vpid(self) -> Vref:
        return make_exported_promise(self._next("promiseID"))

    def register_promise(self, vpid: str, promise: Promise[Any]) -> None:
        promise.vpid = vpid
        self._promises[vpid] = promise

    def forget_promise(self, vpid: str) -> None:
        """The name has left the c-list: sent again, the promise gets a new one."""
        promise = self._promises.pop(vpid, None)
        if promise is not None:
            promise.vpid = None
            self.imported.pop(vpid, None)
            self.exported.pop(vpid, None)

    # One serialization -------------------------------------------------------------------------

    def begin(self) -> None:
        """From here on, names are given for a message that may yet fail to be sent."""
        self._new.clear()

    def undo(self) -> None:
        """Take back the names given since `begin`: the kernel has not heard of them."""
        for item in self._new:
            if isinstance(item, Promise):
                if item.vpid is not None:
                    self.forget_promise(item.vpid)
            else:
                self.retire_export(item)
        self._new.clear()

    def flush(self) -> None:
        """Write the counters to the vat store, if they have moved. Called at the end of a delivery."""
        self._new.clear()
        if self._are_counters_dirty:
            self._are_counters_dirty = False
            self._store.set(_COUNTERS_KEY, canonical.dump(self._counters))

    def _next(self, counter: str) -> int:
        number = self._counters[counter]
        self._counters[counter] = number + 1
        self._are_counters_dirty = True
        return number


def unknown_reference(vref: str) -> MarshalError:
    return MarshalError(f"{vref} is not a reference of this vat: it was never exported, or it has been retired")
