"""Virtual data: what a vat keeps in its vat store instead of its heap.

Owns values on their way between heap and store, and the representatives. Of the parts: `kernel_py.vat.schema` names the
records, `kinds` knows the classes, `states` has the fields of objects, `collections` the entries of maps and sets,
`pillars` counts who needs what.

Theory of operation:

* A virtual or durable object is records in the vat store, and a *representative* in the heap while the vat's code
  holds it. Naming it (``o+d10/7``: durable, kind 10, number 7) costs nothing; its state is read with the first use of a
  field in a delivery, kept until its end, and written back then if it has changed.
* What is kept is passable data, as capdata. What is read is frozen: lists come as tuples, records as read-only
  mappings, since nobody would notice a change in them. Change is assignment.
* *Durable* things are there again in the vat's next incarnation; *virtual* ones are merely out of the heap.
  So durable ones may hold durable ones and objects of other vats, nothing else; virtual ones, far objects of the heap
  as well. Promises are kept by neither: `kernel_py.vat.watching` is for them.
* Each mention in a record counts as a pillar of what it mentions (`pillars`); an object without pillars is
  deleted, with all that only it mentioned, in bringOutYourDead.

Invariants:
    * Between deliveries nothing is cached, and the store has everything.
    * No syscall but those of bringOutYourDead depends on whether a representative exists.

Source: virtualObjectManager.js, collectionManager.js; the reference, 4.3 and 4.4.
"""

from __future__ import annotations

from types import CoroutineType, MappingProxyType
from typing import Any, Final, TypeVar

from kernel_py.vat import schema
from kernel_py.vat.cache import StoreCache
from kernel_py.vat.collections import COLLECTIONS, DurableMap
from kernel_py.vat.counters import Counters
from kernel_py.vat.exo import find_iface
from kernel_py.vat.kinds import Kinds
from kernel_py.vat.loop import Future
from kernel_py.vat.pillars import Pillars
from kernel_py.vat.presence import Presence, iface_of, vref_of
from kernel_py.vat.promise import Promise
from kernel_py.vat.representative import Representative
from kernel_py.vat.slots import Slots, unknown_reference
from kernel_py.vat.states import States
from kernel_py.vat.store import VatStore
from kernel_py.vat.sweep import sweep_virtual
from kernel_py.wire import canonical
from kernel_py.wire.capdata import CapData
from kernel_py.wire.culprit import Culprit
from kernel_py.wire.errors import MarshalError
from kernel_py.wire.limits import Limits
from kernel_py.wire.passable import Tagged
from kernel_py.wire.refs import Vref, base_ref
from kernel_py.wire.smallcaps import Marshal

R = TypeVar("R", bound=Representative)

_IN_THE_HEAP: Final = "lives in the heap only, and would be gone in the vat's next incarnation"
_SMALL_INT_CHARS: Final = 24
_DEAD_MAX: Final = 5_000
"""Of the notes that representatives leave: more are looked through before bringOutYourDead, to keep memory flat."""


class Vdata:
    """The virtual data of one incarnation of a vat."""

    def __init__(self, vat: str, store: VatStore, counters: Counters, slots: Slots, limits: Limits) -> None:
        self.vat = vat
        self.store = store
        self.counters = counters
        self.slots = slots
        self.limits = limits
        self.cache = StoreCache(store)
        self.pillars = Pillars(store, self.cache, slots)
        self.kinds = Kinds(store, counters, self._serialize_default)
        self.states = States(self)
        self._wants_durable = False
        self._is_closed = False
        self._marshal = Marshal(value_to_slot=self._value_to_slot, slot_to_value=self._slot_to_value, limits=limits)

    def start(self) -> None:
        """Begin an incarnation of the vat."""
        self.kinds.add_store_kinds(COLLECTIONS)
        sweep_virtual(self)

    def provide_root(self, key: str) -> DurableMap[Any, Any]:
        """The map whose name the store has under `key`, which never goes; made if there is none."""
        vref = self.store.get(key)
        if vref is not None:
            return self.provide(vref)  # type: ignore[no-any-return]
        made: DurableMap[Any, Any] = self.create(DurableMap)
        self.pillars.hold((made._vref_,))
        self.store.set(key, made._vref_)
        return made

    def flush(self) -> None:
        """Write what has changed, and forget what is cached. Called at the end of a delivery."""
        self.states.flush()
        self.kinds.flush()
        self.cache.flush()

    def close(self) -> None:
        """The incarnation is over: what is left of its code can change nothing any more."""
        self._is_closed = True

    # Values ------------------------------------------------------------------------------------

    def serialize(self, value: object, path: str, *, is_durable: bool) -> CapData:
        """`value`, called `path` in messages, as a record has it.

        Raises:
            MarshalError: it is not passable, or may not be kept there.
        """
        self.check_open()
        self._wants_durable = is_durable
        self.slots.begin()
        try:
            return self._marshal.serialize(value, path)
        except BaseException:
            self.slots.undo()
            raise

    def unserialize(self, body: str, slots: list[str]) -> Any:
        """The frozen value of what `serialize` made."""
        # What is kept most, in short: the rest of this function would do the same.
        if body.startswith('#"+') and len(body) < _SMALL_INT_CHARS:
            return int(body[3:-1])
        if body.startswith('#"$0') and slots[0][1] == "+":
            return self.provide(slots[0])
        value = self._marshal.unserialize(CapData(body, tuple(slots)))
        return freeze(value) if body[1] in "[{" else value

    def unserialize_text(self, text: str) -> Any:
        """The frozen value of capdata as JSON text."""
        data = canonical.load_own(text)
        return self.unserialize(data["body"], data["slots"])

    def find_key_vref(self, key: object, *, is_durable: bool, names: bool) -> str | None:
        """The name of a reference as a key; None if it has none, and is not to be named.

        Raises:
            MarshalError: it is no reference, or may not be kept there.
        """
        if not names and not isinstance(key, (Presence, Representative)) and find_iface(key) is not None:
            return self.slots.find_name(key)
        self._wants_durable = is_durable and names
        self.slots.begin()
        try:
            found = self._value_to_slot(key)
        except Culprit as culprit:
            raise culprit.as_marshal_error("key") from None
        if found is None:
            raise MarshalError(
                f"a key is a bool, float, int, str, None, or a far object or presence, not {type(key).__name__}"
            )
        return found[0]

    def _serialize_default(self, value: object, path: str) -> str:
        data = self.serialize(value, path, is_durable=True)
        if data.slots:
            raise TypeError(f"the default of {path} refers to an object; use default_factory")
        return canonical.dump(data.to_json())

    def _value_to_slot(self, value: object) -> tuple[str, str | None] | None:
        if isinstance(value, Presence):
            return vref_of(value), iface_of(value)
        if isinstance(value, Representative):
            vref = self.get_vref(value)
            if self._wants_durable and vref[2] != "d":
                raise Culprit(f"{type(value).__name__} is virtual, and would be gone in the vat's next incarnation")
            return vref, find_iface(value)
        if isinstance(value, (Promise, Future, CoroutineType)):
            raise Culprit(f"a promise {_IN_THE_HEAP}; keep its value, or use watch_promise")
        iface = find_iface(value)
        if iface is None:
            return None
        if self._wants_durable:
            raise Culprit(f"{type(value).__name__} {_IN_THE_HEAP}; derive its class from Durable")
        return self.slots.name_export(value), iface

    def _slot_to_value(self, slot: str, iface: str | None, is_promise: bool) -> object:  # noqa: ARG002, FBT001
        return self.provide_reference(slot, iface)

    # Representatives ---------------------------------------------------------------------------

    def get_vref(self, value: Representative) -> Vref:
        """The name of what a representative stands for.

        Raises:
            Culprit: it is not of this vat's incarnation.
        """
        if value._vdata_ is not self:
            raise Culprit(f"this {type(value).__name__} is of an earlier incarnation of the vat")
        return value._vref_

    def create(self, cls: type[R]) -> R:
        """A new instance of a kind: its records, and its representative."""
        self.check_open()
        number = self.kinds.provide(cls).number
        if cls._base_kind_ == "object":
            key = schema.next_instance(number)
            instance = self.cache.get_number(key, 1)
            self.cache.set(key, str(instance + 1))
        else:
            instance = self.counters.next("collectionID")
        base = schema.make_base(is_durable=cls._is_durable_, kind=number, instance=instance)
        cls._create_(self, base)
        return self._represent(cls, base)

    def provide(self, vref: str) -> Any:
        """The far object, representative or facet of that name.

        Raises:
            MarshalError: there is none.
        """
        base = base_ref(Vref(vref))
        value = self.slots.find(base)
        if value is None:
            cls = self.kinds.find_class(base)
            if cls is None:
                raise unknown_reference(vref)
            value = self._represent(cls, base)
        return value if base == vref else self._get_facet(value, vref)

    def provide_reference(self, vref: str, iface: str | None = None) -> object:
        """What a record mentions: one of this vat's own, or the presence of another vat's object."""
        return self.provide(vref) if vref[1] == "+" else self.slots.provide_presence(Vref(vref), iface)

    def delete(self, base: str) -> None:
        """Delete an object or collection, which nothing reaches any more, with its records."""
        cls = self.kinds.find_class(base)
        assert cls is not None
        cls._delete_(self, Vref(base))

    def check_open(self) -> None:
        if self._is_closed:
            raise RuntimeError("this incarnation of the vat is over: what it does now has no effect")

    def _represent(self, cls: type[R], base: Vref) -> R:
        if self.slots.count_dead() >= _DEAD_MAX:
            self.pillars.sort_out(self.slots.take_dead())
        representative = cls._make_(self, base)
        self.slots.register(base, representative)
        return representative

    def _get_facet(self, value: Any, vref: str) -> object:
        ref = schema.find_stored_ref(vref)
        assert ref is not None
        facets = self.kinds.get(type(value)).facets if isinstance(value, Representative) else []
        if ref.facet is None or ref.facet >= len(facets):
            raise unknown_reference(vref)
        return getattr(value, facets[ref.facet])


def freeze(value: Any) -> Any:
    """A passable whose lists are tuples and whose records are read-only."""
    kind = type(value)
    if kind is list:
        return tuple(map(freeze, value))
    if kind is dict:
        return MappingProxyType({key: freeze(item) for key, item in value.items()})
    if kind is Tagged:
        return Tagged(value.tag, freeze(value.payload))
    return value
