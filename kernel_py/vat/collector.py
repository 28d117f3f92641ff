"""The collector: brings out the dead.

Theory of operation. Python's own collector takes what the heap does not reach, at moments that nobody controls. All
that it leaves is a note (`Slots.take_dead`), and nothing else in the vat looks at it. In bringOutYourDead, which the
kernel sends from time to time, the collector runs to its end, so that the notes tell what the heap reaches and not when
it was looked at. Then every reference that has lost a pillar (`kernel_py.vat.pillars`) is looked at; collections are
virtual or durable objects here:

| dead                   | effect                                                                             |
|------------------------|------------------------------------------------------------------------------------|
| object of another vat  | ``dropImports``; ``retireImports`` as well, unless a weak collection recognizes it |
| far object of the heap | its entries in weak collections go; ``retireExports`` if the kernel recognizes it  |
| virtual or durable     | the same, and its records go: what they mentioned has lost a pillar                |

Since what goes may be the last to hold something else in the heap, the collector runs again, until nothing more is
dead. An import whose last recognizer goes while nothing reaches it is retired.

Invariants:
    * Each of the three syscalls is made at most once, with its names sorted, in this order: dropImports,
      retireImports, retireExports.
    * What is dropped and retired does not depend on when Python's collector ran.
    * What the kernel has retired is not retired again.

Source: boyd-gc.js; the reference, 4.6.
"""

from __future__ import annotations

import gc
from collections.abc import Callable

from kernel_py.vat.collections import remove_dead_key
from kernel_py.vat.schema import is_stored
from kernel_py.vat.slots import Slots, is_far_object
from kernel_py.vat.vdata import Vdata
from kernel_py.wire.deliveries import RefDeliveryOp
from kernel_py.wire.refs import Vref, base_ref
from kernel_py.wire.syscalls import RefOp, RefSyscall

Collect = Callable[[], object]
"""Lets Python's collector take everything that it can."""


def collect_heap() -> None:
    """Run Python's collector until there is nothing left for it to take."""
    while gc.collect():
        pass


class Collector:
    """Garbage collection of one incarnation of a vat.

    Args:
        collect: lets the heap's dead be noted; tests control it.
    """

    def __init__(self, slots: Slots, vdata: Vdata, collect: Collect) -> None:
        self._slots = slots
        self._vdata = vdata
        self._pillars = vdata.pillars
        self._collect = collect

    # bringOutYourDead --------------------------------------------------------------------------

    def bring_out_your_dead(self) -> list[RefSyscall]:
        """Find and delete all that is dead; what the kernel is to be told."""
        dead: set[str] = set()
        dropped: set[str] = set()
        retired_imports: set[str] = set()
        retired_exports: set[str] = set()
        while True:
            self._collect()
            possibly_dead = self._pillars.possibly_dead
            possibly_dead.update(self._slots.take_dead())
            if not possibly_dead:
                break
            candidates = sorted(possibly_dead)
            possibly_dead.clear()
            for vref in candidates:
                if vref in dead or self._is_reachable(vref):
                    continue
                dead.add(vref)  # what goes after it may yet make it a candidate again
                if is_stored(vref):
                    retired_exports.update(self._pillars.take_recognizable(vref))
                    self._vdata.delete(vref)
                    self._remove_dead_keys(vref)
                elif is_far_object(vref):
                    if vref in self._slots.recognizable:
                        self._slots.recognizable.discard(vref)
                        retired_exports.add(vref)
                    self._remove_dead_keys(vref)
                else:
                    dropped.add(vref)
                    self._pillars.possibly_retired.add(vref)
        for vref in sorted(self._pillars.possibly_retired):
            if not self._is_reachable(vref) and not self._pillars.is_recognized(vref):
                retired_imports.add(vref)
        self._pillars.possibly_retired.clear()
        groups = (
            (RefOp.DROP_IMPORTS, dropped),
            (RefOp.RETIRE_IMPORTS, retired_imports),
            (RefOp.RETIRE_EXPORTS, retired_exports),
        )
        return [RefSyscall(op, tuple(map(Vref, sorted(vrefs)))) for op, vrefs in groups if vrefs]

    def _is_reachable(self, vref: str) -> bool:
        return (
            self._slots.find(vref) is not None
            or self._pillars.is_held(vref)
            or (is_stored(vref) and self._pillars.is_any_exported(vref))
        )

    def _remove_dead_keys(self, base: str) -> None:
        for vref, collection in self._pillars.list_recognizers(base):
            remove_dead_key(self._vdata, collection, vref)

    # What the kernel says ----------------------------------------------------------------------

    def deliver(self, op: RefDeliveryOp, vrefs: tuple[Vref, ...]) -> None:
        """Carry out dropExports, retireExports or retireImports."""
        for vref in vrefs:
            match op:
                case RefDeliveryOp.DROP_EXPORTS:
                    self._drop_export(vref)
                case RefDeliveryOp.RETIRE_EXPORTS:
                    self._retire_export(vref)
                case RefDeliveryOp.RETIRE_IMPORTS:
                    self._retire_import(vref)

    def _drop_export(self, vref: Vref) -> None:
        if is_stored(vref):
            self._pillars.drop_export(vref)
        else:
            self._slots.drop_export(vref)

    def _retire_export(self, vref: Vref) -> None:
        if is_stored(vref):
            self._pillars.retire_export(vref)
            self._pillars.possibly_dead.add(base_ref(vref))
        else:
            # In the vat store it goes on under its name.
            is_kept = self._pillars.is_held(vref) or bool(self._pillars.list_recognizers(vref))
            self._slots.retire_export(vref, keeps_name=is_kept)

    def _retire_import(self, vref: Vref) -> None:
        """The object is no more: what recognized it cannot meet it again."""
        self._remove_dead_keys(vref)
        self._pillars.possibly_retired.discard(vref)
        self._slots.forget_presence(vref)
