"""The states of virtual and durable objects: their fields, faulted in on use and written back.

Invariants:
    * A state is read once per delivery, with the first use of a field, and written once, in the order of names,
      if it has changed; with very many, more often. What is cached does not depend on the garbage collector.
    * A field's value is checked, and its references counted, when it is assigned.

Source: virtualObjectManager.js; the reference, 4.3.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from kernel_py.vat import schema
from kernel_py.wire import canonical
from kernel_py.wire.capdata import CapData

if TYPE_CHECKING:
    from kernel_py.vat.representative import Representative
    from kernel_py.vat.vdata import Vdata

STATES_MAX: Final = 2_000
"""What is kept in memory of one delivery: some megabytes."""

_IMMUTABLE: Final = frozenset({type(None), bool, int, str, bytes})
_ABSENT: Final = object()


class _State:
    """The fields of one object: as they are kept, and those values that were used."""

    __slots__ = ("data", "is_new", "values")

    def __init__(self, data: dict[str, dict[str, Any]], *, is_new: bool) -> None:
        self.data = data
        self.values: dict[str, Any] = {}
        self.is_new = is_new


class States:
    def __init__(self, vdata: Vdata) -> None:
        self._vdata = vdata
        self._states: dict[str, _State] = {}
        self._dirty: dict[str, None] = {}

    def create(self, base: str) -> None:
        """A new object, which has no fields yet."""
        self._add(base, _State({}, is_new=True))
        self._dirty[base] = None

    def complete(self, representative: Representative) -> None:
        """A new object has been initialized: the fields that it was not given get their defaults.

        Raises:
            TypeError: one has none.
        """
        state = self._get(representative)
        cls = type(representative)
        for field in cls._fields_.values():
            if field.name not in state.data and self._provide_default(representative, state, field) is _ABSENT:
                raise TypeError(f"{cls.__name__}() is missing the field {field.name!r}")
        state.is_new = False

    def read(self, representative: Representative, field: Any) -> Any:
        """The value of a field."""
        state = self._get(representative)
        name = field.name
        try:
            return state.values[name]
        except KeyError:
            pass
        data = state.data.get(name)
        if data is not None:
            value = self._vdata.unserialize(data["body"], data["slots"])
        else:
            value = self._provide_default(representative, state, field)
            if value is _ABSENT:
                raise AttributeError(f"the field {name!r} of this {type(representative).__name__} has not been set")
        state.values[name] = value
        return value

    def write(self, representative: Representative, field: Any, value: object) -> None:
        """Set a field.

        Raises:
            TypeError: it does not fit the field's annotation, by its type.
            ValueError: it does not, by its value.
            MarshalError: it cannot be kept.
        """
        vdata = self._vdata
        vref = representative._vref_
        path = f"{type(representative).__name__}.{field.name}"
        field.check(value, path)
        data = vdata.serialize(value, path, is_durable=vref[2] == "d")
        self._put(self._get(representative), vref, field.name, data)
        if type(value) in _IMMUTABLE:
            self._states[vref].values[field.name] = value

    def delete(self, base: str) -> None:
        """Delete an object's state, if there is one, and let go of what it mentions."""
        if not self.exists(base):
            return
        for data in self._load(base).data.values():
            self._vdata.pillars.release(data["slots"])
        del self._states[base]
        self._dirty.pop(base, None)
        self._vdata.store.delete(schema.state(base))

    def exists(self, base: str) -> bool:
        return base in self._states or self._vdata.store.get(schema.state(base)) is not None

    def flush(self) -> None:
        """Write what has changed, and forget everything."""
        if not self._states:
            return
        store = self._vdata.store
        for base in sorted(self._dirty):
            store.set(schema.state(base), canonical.dump(self._states[base].data))
        self._dirty.clear()
        self._states.clear()

    def _get(self, representative: Representative) -> _State:
        vref = representative._vref_
        state = self._states.get(vref)
        if state is None:
            self._vdata.check_open()
            return self._load(vref)
        return state

    def _load(self, base: str) -> _State:
        state = self._states.get(base)
        if state is None:
            text = self._vdata.store.get(schema.state(base))
            if text is None:
                raise RuntimeError(f"{base} has no state")
            state = _State(canonical.load_own(text), is_new=False)
            self._add(base, state)
        return state

    def _add(self, base: str, state: _State) -> None:
        if len(self._states) >= STATES_MAX:
            self.flush()
        self._states[base] = state

    def _put(self, state: _State, base: str, name: str, data: CapData) -> None:
        before = state.data.get(name)
        self._vdata.pillars.replace(() if before is None else before["slots"], data.slots)
        state.data[name] = data.to_json()
        state.values.pop(name, None)
        self._states[base] = state
        self._dirty[base] = None

    def _provide_default(self, representative: Representative, state: _State, field: Any) -> Any:
        """What a field has that was never set; `_ABSENT` if nothing.

        An object made before the field was there has what was written down then, which need not be today's default.
        """
        vdata = self._vdata
        missing = None if state.is_new else vdata.kinds.get(type(representative)).missing[field.name]
        if missing is not None:
            return vdata.unserialize_text(missing)
        if field.default_factory is not None:
            value = field.default_factory()
        elif field.has_default:
            value = field.default
        else:
            return _ABSENT
        self.write(representative, field, value)
        return self.read(representative, field)
