"""Type annotations as guards.

Owns the reading of annotations: which types are checked, and as what.

| annotation                                      | fits                                                             |
|-------------------------------------------------|------------------------------------------------------------------|
| ``int`` ``str`` ``bytes`` ``bool`` ``None``     | a value of exactly that type                                     |
| ``float``                                       | a float or an int                                                |
| `Undefined`'s type, `Tagged`, `Symbol`          | a value of exactly that type                                     |
| ``list[T]`` ``Sequence[T]`` ``tuple[T, ...]``   | a list or tuple of it                                            |
| ``tuple[T, U]``                                 | a list or tuple of just these                                    |
| ``dict[str, T]`` ``Mapping[str, T]``            | a dict of it                                                     |
| a ``TypedDict``                                 | a dict with its keys, and no others                              |
| ``T | U`` ``Optional[T]``                       | what fits one of them                                            |
| ``Literal["a", 1]``                             | one of these values                                              |
| an exo's class                                  | an object of that class, or one of another vat                   |
| `Presence`, `Exo`, a ``Protocol``               | any far object                                                   |
| ``Promise[T]`` ``Awaitable[T]``                 | a promise; as a result, what comes of it is checked              |
| an exception's class                            | an exception that is one                                         |
| ``Annotated[T, pattern]``                       | what fits both; see `kernel_py.vat.patterns`                     |
| ``NewType``, ``type X = T``                     | what fits the type behind it                                     |
| ``Any`` ``object``, a type variable, no annotation, any other type | anything                                      |
"""

from __future__ import annotations

import collections.abc
import types
import typing
from collections.abc import Callable, Hashable
from typing import Annotated, Any, Final, Literal, cast, get_args, get_origin

from kernel_py.vat.exo import Exo
from kernel_py.vat.guards import All, Array, Eventual, Failure, Far, Guard, Map, OneOf, Plain, Record, Row, Union
from kernel_py.vat.loop import Future
from kernel_py.vat.presence import Presence
from kernel_py.vat.promise import Promise
from kernel_py.wire.passable import Symbol, Tagged, UndefinedType

_PLAIN: Final[dict[object, Guard]] = {
    None: Plain("None", [type(None)]),
    type(None): Plain("None", [type(None)]),
    bool: Plain("bool", [bool]),
    int: Plain("int", [int]),
    float: Plain("float", [float, int]),
    str: Plain("str", [str]),
    bytes: Plain("bytes", [bytes]),
    UndefinedType: Plain("Undefined", [UndefinedType]),
    Tagged: Plain("Tagged", [Tagged]),
    Symbol: Plain("Symbol", [Symbol]),
}
_abc = collections.abc
_ARRAYS = frozenset({list, _abc.Sequence, _abc.MutableSequence, _abc.Collection, _abc.Iterable, _abc.Reversible})
_RECORDS = frozenset({dict, _abc.Mapping, _abc.MutableMapping})
_LATER = frozenset({Promise, Future, _abc.Awaitable, _abc.Coroutine})
_TRANSPARENT = frozenset(
    getattr(typing, name) for name in ("Required", "NotRequired", "ReadOnly") if hasattr(typing, name)
)


def make_guard(annotation: Any) -> Guard:
    """The guard of a type, or of a pattern, such as ``dict[str, int]`` or ``Annotated[int, M.gt(0)]``.

    A guard is its own, also one of another make, which has a ``check(value, path)``.

    Raises:
        TypeError: it is none that is checked.
    """
    if not isinstance(annotation, type) and callable(getattr(annotation, "check", None)):
        return cast("Guard", annotation)
    guard = read_annotation(annotation)
    if guard is None:
        raise TypeError(f"{annotation!r:.100} is no type of passables that could be checked")
    return guard


def read_annotation(annotation: Any, owner: type | None = None) -> Guard | None:
    """The guard of an annotation; None if anything fits it.

    Args:
        owner: the class that ``Self`` stands for.
    """
    return _Reader(owner).read(annotation)


def read_result(annotation: Any, owner: type | None = None) -> Guard | None:
    """The guard of what a method gives in the end, from its return annotation; None if anything fits it."""
    while get_origin(annotation) in _LATER:
        annotation = get_args(annotation)[-1]
    return None if annotation in _LATER else read_annotation(annotation, owner)


class _Reader:
    def __init__(self, owner: type | None) -> None:
        self._owner = owner
        self._records: dict[object, Record] = {}  # they may contain themselves

    def read(self, annotation: Any) -> Guard | None:
        if isinstance(annotation, Guard):
            return annotation
        if not isinstance(annotation, Hashable):
            return None
        plain = _PLAIN.get(annotation)
        if plain is not None:
            return plain
        origin = get_origin(annotation)
        if origin is None:
            return self._read_bare(annotation)
        arguments = get_args(annotation)
        for kinds, read in self._GENERIC:
            if origin in kinds:
                return read(self, arguments)
        return self._read_bare(origin)

    def _read_bare(self, annotation: Any) -> Guard | None:
        if annotation in _ARRAYS or annotation is tuple:
            return Array(None)
        if annotation in _RECORDS:
            return Map(None, None)
        if annotation in _LATER:
            return Eventual("a promise")
        if typing.is_typeddict(annotation):
            return self._read_record(annotation)
        if isinstance(annotation, typing.NewType):
            return self.read(annotation.__supertype__)
        if type(annotation).__name__ == "TypeAliasType":
            return self.read(annotation.__value__)
        if annotation is typing.Self and self._owner is not None:
            annotation = self._owner
        return _read_class(annotation) if isinstance(annotation, type) else None

    def _read_record(self, annotation: Any) -> Record:
        record = self._records.get(annotation)
        if record is None:
            hints = typing.get_type_hints(annotation, include_extras=True)
            # `__required_keys__` does not see through annotations that are texts.
            marks = {key: get_origin(hint) for key, hint in hints.items()}
            required = {key for key in annotation.__required_keys__ if marks[key] is not typing.NotRequired}
            required |= {key for key, mark in marks.items() if mark is typing.Required}
            record = self._records[annotation] = Record(annotation.__name__, frozenset(required))
            record.fields.update({key: self.read(hint) for key, hint in hints.items()})
        return record

    def _read_narrowed(self, arguments: tuple[Any, ...]) -> Guard | None:
        base = self.read(arguments[0])
        guards = [item for item in (base, *arguments[1:]) if isinstance(item, Guard)]
        return All(tuple(guards)) if len(guards) > 1 else guards[0] if guards else None

    def _read_union(self, arguments: tuple[Any, ...]) -> Guard | None:
        guards: list[Guard] = []
        for argument in arguments:
            guard = self.read(argument)
            if guard is None:
                return None
            guards.append(guard)
        plain = [guard for guard in guards if type(guard) is Plain]
        if len(plain) > 1:  # a set of types is tested at once
            merged = Plain(
                " | ".join(guard.expected for guard in plain), {kind for guard in plain for kind in guard.types}
            )
            guards = [merged, *(guard for guard in guards if type(guard) is not Plain)]
        return guards[0] if len(guards) == 1 else Union(tuple(guards))

    def _read_tuple(self, arguments: tuple[Any, ...]) -> Guard:
        if len(arguments) == 2 and arguments[1] is ...:
            return Array(self.read(arguments[0]))
        return Row(tuple(self.read(argument) for argument in arguments))

    _GENERIC: Final[tuple[tuple[frozenset[Any], Callable[[_Reader, tuple[Any, ...]], Guard | None]], ...]] = (
        (frozenset({Annotated}), _read_narrowed),
        (frozenset({typing.Union, types.UnionType}), _read_union),
        (frozenset({Literal}), lambda _, arguments: OneOf(arguments)),
        (frozenset({tuple}), _read_tuple),
        (_ARRAYS, lambda self, arguments: Array(self.read(arguments[0]))),
        (_RECORDS, lambda self, arguments: Map(self.read(arguments[0]), self.read(arguments[1]))),
        (_LATER, lambda _, _arguments: Eventual("a promise")),
        (_TRANSPARENT, lambda self, arguments: self.read(arguments[0])),
    )


def _read_class(annotation: type) -> Guard | None:
    if issubclass(annotation, Exo) and annotation is not Exo:
        return Far(annotation.__name__, annotation)
    if annotation in {Exo, Presence} or (
        getattr(annotation, "_is_protocol", False) and annotation.__module__ not in {"typing", "collections.abc"}
    ):
        return Far("a far object" if annotation in {Exo, Presence} else annotation.__name__)
    return Failure(annotation) if issubclass(annotation, BaseException) else None
