"""The vat's side of the c-list: which values of the heap stand for which references.

Owns three tables.

* Values, held weakly, by the reference without its facet: far objects of this vat that have a name, presences,
  and the representatives of virtual and durable objects and collections. What the vat's code lets go is gone;
  that it is gone is noted (`take_dead`), and acted on in bringOutYourDead only.
* Exports: far objects of this vat that the kernel reaches, held strongly until it drops them (dropExports), and
  the names that it recognizes, until it or this vat retires them. The exports of virtual and durable objects
  are `kernel_py.vat.pillars`'s.
* Promises known to the kernel, until they are settled on both sides. Each is either *imported*
  (the kernel or another vat settles it) or *exported* (this vat settles it, the kernel is told), or
  neither for the moment between its naming and the syscall that mentions it.

Invariants:
    * A value has one reference and a reference one value, as long as both live.
    * The interface of a presence is that with which its reference came first, until its death was brought out, so
      that no text depends on when the collector ran.
    * Nothing that can be observed depends on when an object is collected.

Source: liveslots.js; the reference, 4.1.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any, Self

from kernel_py.vat.counters import Counters
from kernel_py.vat.presence import Presence
from kernel_py.vat.promise import Promise
from kernel_py.vat.schema import is_stored
from kernel_py.wire.errors import MarshalError
from kernel_py.wire.refs import ROOT_VREF, Vref, make_exported_object, make_exported_promise


class _Reference(weakref.ref[Any]):
    """A weak reference to a value that knows its name; `identity` is the value's, if it is a far object."""

    __slots__ = ("identity", "vref")
    vref: Vref
    identity: int

    def __new__(cls, value: object, callback: Callable[[Any], object], vref: Vref) -> Self:
        self = super().__new__(cls, value, callback)
        self.vref = vref
        self.identity = id(value)
        return self

    def __init__(self, value: object, callback: Callable[[Any], object], vref: Vref) -> None:
        """What ``weakref.ref`` is made of comes to `__new__`."""


class Slots:
    """The tables of one vat. See the module's docstring.

    Attributes:
        recognizable: names of far objects that the kernel has not forgotten.
    """

    def __init__(self, counters: Counters) -> None:
        self._counters = counters
        self._references: dict[str, _Reference] = {}
        self._dead: list[_Reference] = []
        self._ifaces: dict[Vref, str] = {}

        self._retained: dict[Vref, object] = {}
        self.recognizable: set[str] = set()
        # By identity: a far object's own equality is no concern of ours. An entry dies with its object.
        self._names: dict[int, _Reference] = {}

        self._promises: dict[str, Promise[Any]] = {}
        self.imported: dict[str, Promise[Any]] = {}
        self.exported: dict[str, Promise[Any]] = {}
        self._new: list[Vref | Promise[Any]] = []

    # Values ------------------------------------------------------------------------------------

    def find(self, vref: str) -> Any:
        """The value of that name, which has no facet; None if there is none in the heap."""
        reference = self._references.get(vref)
        return None if reference is None else reference()

    def list_values(self) -> list[tuple[str, Any]]:
        """All values that have a name and live, by their names, sorted; for people."""
        found = [(vref, reference()) for vref, reference in list(self._references.items())]
        return sorted(((vref, value) for vref, value in found if value is not None), key=lambda each: each[0])

    def register(self, vref: Vref, value: object) -> None:
        """`value`, a presence or representative, stands for `vref` from now on."""
        self._references[vref] = _Reference(value, self._dead.append, vref)

    def take_dead(self) -> list[str]:
        """Take the names of values that have been collected since they were taken last, and not been made again.

        The tables forget them. In no particular order.
        """
        names: list[str] = []
        while self._dead:
            reference = self._dead.pop()
            vref = reference.vref
            if self._references.get(vref) is reference:
                del self._references[vref]
                self._ifaces.pop(vref, None)
                names.append(vref)
        return names

    def count_dead(self) -> int:
        """How many have been noted, for `take_dead`."""
        return len(self._dead)

    def list_outliving(self) -> list[str]:
        """The names that mean something to this vat's next incarnation: imports, and durable objects. Sorted."""
        return sorted(vref for vref in self._references if vref.startswith(("o-", "o+d")))

    # Exports -----------------------------------------------------------------------------------

    def export_root(self, root: object) -> None:
        self._add_name(ROOT_VREF, root)
        self.retain(ROOT_VREF)

    def name_export(self, value: object) -> Vref:
        """The name of a far object of this vat, a new one if it has none. The kernel does not know it by that."""
        known = self.find_name(value)
        if known is not None:
            return known
        vref = make_exported_object(self._counters.next("exportID"))
        self._add_name(vref, value)
        self._new.append(vref)
        return vref

    def find_name(self, value: object) -> Vref | None:
        """The name of a far object of this vat, if it has one."""
        known = self._names.get(id(value))
        return None if known is None or known() is not value else known.vref

    def retain(self, vref: Vref) -> None:
        """A syscall has mentioned this far object: the kernel reaches it."""
        if vref not in self._retained:
            self._retained[vref] = self._references[vref]()
            self.recognizable.add(vref)

    def drop_export(self, vref: Vref) -> None:
        """The kernel reaches it no more: only this vat keeps it alive now."""
        self._retained.pop(vref, None)

    def retire_export(self, vref: Vref, *, keeps_name: bool = False) -> None:
        """The kernel has forgotten the name: if the object is exported again, it gets another, unless `keeps_name`."""
        self._retained.pop(vref, None)
        self.recognizable.discard(vref)
        if not keeps_name:
            reference = self._references.pop(vref, None)
            if reference is not None:
                self._names.pop(reference.identity, None)

    def _add_name(self, vref: Vref, value: object) -> None:
        reference = _Reference(value, self._forget_name, vref)
        self._names[reference.identity] = self._references[vref] = reference

    def _forget_name(self, reference: _Reference) -> None:
        # At once: the identity may be another object's in the next moment. Nothing can observe it.
        if self._names.get(reference.identity) is reference:
            del self._names[reference.identity]
        self._dead.append(reference)

    # Presences ---------------------------------------------------------------------------------

    def provide_presence(self, vref: Vref, iface: str | None) -> Presence:
        """The presence of that name, made if there is none."""
        presence: Presence | None = self.find(vref)
        if presence is None:
            presence = Presence(vref, self._ifaces.setdefault(vref, iface or f"Alleged: presence {vref}"))
            self.register(vref, presence)
        return presence

    def forget_presence(self, vref: str) -> None:
        """The kernel has retired the name."""
        self._references.pop(vref, None)
        self._ifaces.pop(Vref(vref), None)

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
        return make_exported_promise(self._counters.next("promiseID"))

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


def is_far_object(vref: str) -> bool:
    """Whether it is the name of a far object of this vat that lives in the heap only."""
    return vref[:2] == "o+" and not is_stored(vref)


def unknown_reference(vref: str) -> MarshalError:
    return MarshalError(f"{vref} is not a reference of this vat: it was never exported, or it has been retired")
