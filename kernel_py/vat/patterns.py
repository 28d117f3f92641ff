"""Patterns: what narrows a type in an annotation.

    from kernel_py.vat import M, Nat

    def bid(self, amount: Nat, note: Annotated[str, M.length(0, 80)] = "") -> None: ...

A pattern stands behind a type in ``Annotated``; type checkers and editors see the type alone. Patterns of one
``Annotated`` must all hold. Records have no pattern: a ``TypedDict`` says what is in them.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from types import MappingProxyType
from typing import Annotated, Any, final

from kernel_py.vat.annotations import make_guard
from kernel_py.vat.exo import find_iface
from kernel_py.vat.guards import Guard, Mismatch, OneOf, Union, describe
from kernel_py.vat.presence import Presence

_SIZED = (str, bytes, list, tuple, dict, MappingProxyType)
_NUMBERS = (int, float)
_VALUES = frozenset({int, float, str, bytes, bool})


class _Bound(Guard):
    """A comparison with a number or text."""

    __slots__ = ("_bound", "_compare", "_types")

    def __init__(self, sign: str, compare: Callable[[Any, Any], bool], bound: float | str | bytes) -> None:
        super().__init__(f"{sign} {bound!r}")
        self._compare = compare
        self._bound = bound
        self._types = _NUMBERS if type(bound) in _NUMBERS else (type(bound),)

    def test(self, value: object) -> None:
        if type(value) not in self._types:
            raise self.refuse(value)
        if not self._compare(value, self._bound):
            raise Mismatch(f"must be {self.expected}, not {describe(value)}", ValueError)


class _Length(Guard):
    __slots__ = ("_max", "_min")

    def __init__(self, length_min: int, length_max: int | None) -> None:
        text = f"at least {length_min}" if length_max is None else f"{length_min} to {length_max}"
        super().__init__(f"of length {text}")
        self._min = length_min
        self._max = length_max

    def test(self, value: object) -> None:
        if not isinstance(value, _SIZED):
            raise Mismatch(f"expected something {self.expected}, not {describe(value)}")
        if len(value) < self._min or (self._max is not None and len(value) > self._max):
            raise Mismatch(f"must be {self.expected}, not {len(value):,}", ValueError)


class _Matches(Guard):
    __slots__ = ("_regex",)

    def __init__(self, regex: str) -> None:
        super().__init__(f"matching {regex!r}")
        self._regex = re.compile(regex)

    def test(self, value: object) -> None:
        if type(value) is not str:
            raise Mismatch(f"expected text {self.expected}, not {describe(value)}")
        if self._regex.fullmatch(value) is None:
            raise Mismatch(f"must match {self._regex.pattern!r}, not be {describe(value)}", ValueError)


class _Own(Guard):
    __slots__ = ()

    def test(self, value: object) -> None:
        if type(value) is Presence or find_iface(value) is None:
            raise self.refuse(value)


class _That(Guard):
    __slots__ = ("_holds",)

    def __init__(self, holds: Callable[[Any], object], expected: str) -> None:
        super().__init__(expected)
        self._holds = holds

    def test(self, value: object) -> None:
        if not self._holds(value):
            raise Mismatch(f"must be {self.expected}, not {describe(value)}", ValueError)


@final
class M:
    """The patterns. Each is a guard, and may also be used by itself where a guard is wanted."""

    @staticmethod
    def gt(bound: float | str | bytes) -> Guard:
        """Greater than `bound`."""
        return _Bound(">", operator.gt, bound)

    @staticmethod
    def ge(bound: float | str | bytes) -> Guard:
        """At least `bound`."""
        return _Bound(">=", operator.ge, bound)

    @staticmethod
    def lt(bound: float | str | bytes) -> Guard:
        """Less than `bound`."""
        return _Bound("<", operator.lt, bound)

    @staticmethod
    def le(bound: float | str | bytes) -> Guard:
        """At most `bound`."""
        return _Bound("<=", operator.le, bound)

    @staticmethod
    def length(length_min: int = 0, length_max: int | None = None) -> Guard:
        """Text, bytes, a list or a dict with so many items."""
        return _Length(length_min, length_max)

    @staticmethod
    def matches(regex: str) -> Guard:
        """Text that the regular expression matches as a whole."""
        return _Matches(regex)

    @staticmethod
    def any_of(*alternatives: Any) -> Guard:
        """What fits one of several patterns or types, or equals one of several values, and is of its type."""
        guards = [make_guard(item) for item in alternatives if type(item) not in _VALUES]
        values = [item for item in alternatives if type(item) in _VALUES]
        return Union((*guards, OneOf(values)) if values else tuple(guards))

    @staticmethod
    def own() -> Guard:
        """An object of this vat: with a class of this vat before it, the one check that proves what an object is."""
        return _Own("an object of this vat")

    @staticmethod
    def that(holds: Callable[[Any], object], expected: str) -> Guard:
        """What `holds` is true of; `expected` completes the sentence "must be ...". It may raise what is to be said."""
        return _That(holds, expected)


Nat = Annotated[int, M.ge(0)]
"""A natural number: an ``int`` that is not negative."""
