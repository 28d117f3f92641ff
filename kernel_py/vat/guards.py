"""Guards: what a value must be, checked where it crosses into an object or out of it.

Owns the checks, and what they say. `kernel_py.vat.annotations` makes guards of type annotations,
`kernel_py.vat.patterns` those that narrow a type, `kernel_py.vat.methods` puts them around methods.

Invariants:
    * A guard only looks: what passes is the very value that came.
    * A value of another type is a TypeError, a wrong value of the right type a ValueError: builtins, which arrive in
      other vats as what they are. The message leads to the culprit: ``deposit(items)[3]['amount']: ...``.
    * Types are exact, as for passables: a ``bool`` is no ``int``. But an ``int`` will do for a ``float``, as everywhere
      in Python, a list and a tuple are the same copyArray, and a read-only dict is a dict.
    * What other vats allege about their objects proves nothing, so a presence will do for any far class.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from types import CoroutineType, MappingProxyType
from typing import Any, final

from kernel_py.vat.exo import IFACE_PREFIX, find_iface
from kernel_py.vat.loop import Future
from kernel_py.vat.presence import Presence, iface_of
from kernel_py.vat.promise import Promise
from kernel_py.vat.shapes import Shape
from kernel_py.wire.culprit import index_step, key_step, name_type

EVENTUAL = (Promise, Future, CoroutineType)
"""What stands for a value that comes later."""

_ARRAYS = frozenset({list, tuple})
_RECORDS = frozenset({dict, MappingProxyType})
_SHOWN_BITS_MAX = 200
_SHOWN_CHARS_MAX = 60


class Mismatch(Exception):
    """A part of a value does not fit; never leaves the guards.

    Each container that it passes on its way out adds the step that leads inwards, so that a path costs nothing until
    there is something to say.
    """

    def __init__(self, message: str, kind: type[TypeError | ValueError] = TypeError) -> None:
        super().__init__(message)
        self.kind = kind
        self.steps: list[str] = []

    def as_error(self, path: str) -> TypeError | ValueError:
        """What callers see; `path` leads to the whole value."""
        return self.kind(f"{path}{''.join(reversed(self.steps))}: {self}")


class Guard(ABC):
    """What a value must be.

    Attributes:
        expected: the same for people, such as ``list of int``.
    """

    __slots__ = ("expected",)

    def __init__(self, expected: str) -> None:
        self.expected = expected

    @abstractmethod
    def test(self, value: object) -> None:
        """Raise `Mismatch` if `value` does not fit."""

    @final
    def check(self, value: object, path: str = "value") -> None:
        """Pass if `value` fits.

        Args:
            path: what to call `value` in messages.

        Raises:
            TypeError: it, or a part of it, is of another type.
            ValueError: the type is right, the value is not.
        """
        try:
            self.test(value)
        except Mismatch as mismatch:
            raise mismatch.as_error(path) from None

    def shape(self) -> Shape:
        """The types that fit, in a form that can be kept; None if it does not tell them."""
        return None

    @final
    def refuse(self, value: object) -> Mismatch:
        """The mismatch of a value that is of another type."""
        return Mismatch(f"expected {self.expected}, not {describe(value)}")

    def __repr__(self) -> str:
        return f"<Guard {self.expected}>"


class Plain(Guard):
    """A value of one of these exact types."""

    __slots__ = ("types",)

    def __init__(self, expected: str, types: Iterable[type]) -> None:
        super().__init__(expected)
        self.types = frozenset(types)

    def shape(self) -> Shape:
        return sorted(kind.__name__.removesuffix("Type") for kind in self.types)

    def test(self, value: Any) -> None:
        if type(value) not in self.types:
            raise self.refuse(value)


class OneOf(Guard):
    """A value equal to one of these, and of its type."""

    __slots__ = ("_types", "_values")

    def __init__(self, values: Iterable[object]) -> None:
        options = tuple(values)
        super().__init__(" | ".join(map(repr, options)))
        self._values = frozenset((type(option), option) for option in options)
        self._types = frozenset(map(type, options))

    def shape(self) -> Shape:
        return sorted(f"{kind.__name__} {value!r}" for kind, value in self._values)

    def test(self, value: Any) -> None:
        if type(value) not in self._types:
            raise self.refuse(value)
        if (type(value), value) not in self._values:
            raise Mismatch(f"expected {self.expected}, not {describe(value)}", ValueError)


class Array(Guard):
    """A list or tuple of any length. `item` is None if its items may be anything."""

    __slots__ = ("_item",)

    def __init__(self, item: Guard | None) -> None:
        super().__init__("list" if item is None else f"list of {item.expected}")
        self._item = item

    def shape(self) -> Shape:
        return [["list", shape_of(self._item)]]

    def test(self, value: Any) -> None:
        if type(value) not in _ARRAYS:
            raise self.refuse(value)
        if self._item is not None:
            test, index = self._item.test, 0
            try:
                for index, item in enumerate(value):  # noqa: B007 (the last one is the one at fault)
                    test(item)
            except Mismatch as mismatch:
                mismatch.steps.append(index_step(index))
                raise


class Row(Guard):
    """A list or tuple of a fixed length."""

    __slots__ = ("_items",)

    def __init__(self, items: tuple[Guard | None, ...]) -> None:
        super().__init__(f"[{', '.join('anything' if item is None else item.expected for item in items)}]")
        self._items = items

    def shape(self) -> Shape:
        return [["row", [shape_of(item) for item in self._items]]]

    def test(self, value: Any) -> None:
        if type(value) not in _ARRAYS:
            raise self.refuse(value)
        if len(value) != len(self._items):
            raise Mismatch(f"expected {self.expected}, not {len(value)} items", ValueError)
        for index, guard in enumerate(self._items):
            if guard is not None:
                _test_part(guard, value[index], index_step(index))


class Map(Guard):
    """A dict with any keys. A guard is None for what may be anything."""

    __slots__ = ("_key", "_value")

    def __init__(self, key: Guard | None, value: Guard | None) -> None:
        super().__init__("dict" if value is None else f"dict of {value.expected}")
        self._key = key
        self._value = value

    def shape(self) -> Shape:
        return [["dict", shape_of(self._value)]]

    def test(self, value: Any) -> None:
        if type(value) not in _RECORDS:
            raise self.refuse(value)
        for key, item in value.items():
            if self._key is not None:
                _test_part(self._key, key, f" (the key {key!r:.60})")
            if self._value is not None:
                _test_part(self._value, item, key_step(key))


class Record(Guard):
    """A dict with these keys and no others: a TypedDict. `fields` may be filled in later, by whoever makes it."""

    __slots__ = ("_required", "fields")

    def __init__(self, name: str, required: frozenset[str]) -> None:
        super().__init__(name)
        self._required = sorted(required)
        self.fields: dict[str, Guard | None] = {}

    def shape(self) -> Shape:
        return [["dict", None]]

    def test(self, value: Any) -> None:
        if type(value) not in _RECORDS:
            raise self.refuse(value)
        for key in self._required:
            if key not in value:
                raise Mismatch(f"{key!r} is missing: expected {self.expected}", ValueError)
        for key, item in value.items():
            if key not in self.fields:
                known = ", ".join(self.fields)
                raise Mismatch(f"unknown key {key!r:.60}: {self.expected} has {known}", ValueError)
            guard = self.fields[key]
            if guard is not None:
                _test_part(guard, item, key_step(key))


class Union(Guard):
    """A value that fits one of several guards."""

    __slots__ = ("_guards",)

    def __init__(self, guards: tuple[Guard, ...]) -> None:
        super().__init__(" | ".join(guard.expected for guard in guards))
        self._guards = guards

    def shape(self) -> Shape:
        found = [guard.shape() for guard in self._guards]
        return None if None in found else [each for shape in found for each in shape or ()]

    def test(self, value: object) -> None:
        nearest: Mismatch | None = None
        for guard in self._guards:
            try:
                guard.test(value)
            except Mismatch as mismatch:
                if mismatch.steps or mismatch.kind is ValueError:
                    nearest = nearest or mismatch  # it was this one's type: what it says is more to the point
            else:
                return
        raise nearest or self.refuse(value)


class All(Guard):
    """A value that fits every one of several guards, tested in their order."""

    __slots__ = ("_guards",)

    def __init__(self, guards: tuple[Guard, ...]) -> None:
        super().__init__(" ".join(guard.expected for guard in guards))
        self._guards = guards

    def shape(self) -> Shape:
        return self._guards[0].shape()

    def test(self, value: object) -> None:
        for guard in self._guards:
            guard.test(value)


class Far(Guard):
    """A reference: an object of another vat, or one of this vat that is of a class, or any if that is None."""

    __slots__ = ("_far_class",)

    def __init__(self, expected: str, far_class: type | None = None) -> None:
        super().__init__(expected)
        self._far_class = far_class

    def shape(self) -> Shape:
        kind = getattr(self._far_class, "_kind_name_", "")
        return [f"object {kind}" if kind else "object"]

    def test(self, value: Any) -> None:
        if type(value) is Presence:
            return
        if find_iface(value) is None or not (self._far_class is None or isinstance(value, self._far_class)):
            raise self.refuse(value)


class Eventual(Guard):
    """A promise, or another thing to be awaited."""

    __slots__ = ()

    def test(self, value: object) -> None:
        if not isinstance(value, EVENTUAL):
            raise self.refuse(value)


class Failure(Guard):
    """An exception of a class."""

    __slots__ = ("_class",)

    def __init__(self, exception_class: type[BaseException]) -> None:
        super().__init__(exception_class.__name__)
        self._class = exception_class

    def shape(self) -> Shape:
        return ["error"]

    def test(self, value: object) -> None:
        if not isinstance(value, self._class):
            raise self.refuse(value)


def shape_of(guard: Guard | None) -> Shape:
    """The shape of what fits `guard`, or of anything."""
    return None if guard is None else guard.shape()


def describe(value: object) -> str:
    """A value at fault, for people: in short, and without running code of its own."""
    match value:
        case None | bool():
            return repr(value)
        case int() if value.bit_length() > _SHOWN_BITS_MAX:
            return f"an int of {value.bit_length():,} bits"
        case int() | float() | str() | bytes():
            return f"{type(value).__name__} {_cut(value)}"
        case Presence():
            return f"a presence of {iface_of(value).removeprefix(IFACE_PREFIX)}"
        case Promise() | Future() | CoroutineType():
            return "a promise: await it first"
        case _:
            iface = find_iface(value)
            return name_type(value) if iface is None else f"a far {iface.removeprefix(IFACE_PREFIX)}"


def _cut(value: Any) -> str:
    if isinstance(value, (str, bytes)) and len(value) > _SHOWN_CHARS_MAX:
        return f"{value[:_SHOWN_CHARS_MAX]!r}..."
    return repr(value)


def _test_part(guard: Guard, value: object, step: str) -> None:
    try:
        guard.test(value)
    except Mismatch as mismatch:
        mismatch.steps.append(step)
        raise
