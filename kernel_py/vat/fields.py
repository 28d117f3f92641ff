"""The fields of virtual and durable objects: what a class annotates.

Owns the reading of a class's annotations. A field's annotation is its guard, as a parameter's is: every value that is
assigned must fit it. It is read when a value is first assigned, when all names that it mentions exist. One that cannot
be read refuses every value.
"""

from __future__ import annotations

import inspect
import sys
import typing
from collections.abc import Callable
from typing import Any, Final

from kernel_py.vat.annotations import make_guard, read_annotation
from kernel_py.vat.guards import Guard
from kernel_py.vat.shapes import Shape

ABSENT: Any = object()
"""Stands for the default of a field that has none."""

_IS_LAZY: Final = sys.version_info >= (3, 14)
"""Annotations are evaluated when they are asked for, and may not be known yet."""
_AS_TEXT: Final[dict[str, Any]] = {"format": 4} if _IS_LAZY else {}
_AS_FAR_AS_KNOWN: Final[dict[str, Any]] = {"format": 3} if _IS_LAZY else {}


class Field:
    """One field of a kind: a descriptor that reads and writes the state.

    Attributes:
        owner: the class that annotates it.
    """

    def __init__(self, default: object, default_factory: Callable[[], object] | None, guard: Any) -> None:
        self.name = ""
        self.owner: type = object
        self.default = default
        self.default_factory = default_factory
        self._given = None if guard is None else make_guard(guard)
        self._guards: list[Guard] | None = None

    @property
    def has_default(self) -> bool:
        return self.default is not ABSENT

    def check(self, value: object, path: str) -> None:
        """Check a value that is to be assigned; `path` is its name in messages.

        Raises:
            TypeError: it, or a part of it, is of another type; or the annotation cannot be read.
            ValueError: the type is right, the value is not.
        """
        guards = self._guards
        if guards is None:
            guards = self._guards = self._read_guards()
        for guard in guards:
            guard.check(value, path)

    def shape(self) -> Shape:
        """The shape of its values; no alternative if its annotation cannot be read."""
        try:
            annotated = self._read_annotation()
        except TypeError:
            return []
        return None if annotated is None else annotated.shape()

    def _read_guards(self) -> list[Guard]:
        return [guard for guard in (self._read_annotation(), self._given) if guard is not None]

    def _read_annotation(self) -> Guard | None:
        owner, name = self.owner, self.name
        annotation = inspect.get_annotations(owner, **_AS_FAR_AS_KNOWN)[name]

        # What evaluates the annotations of a class would evaluate those of all its bases.
        def reader() -> None: ...

        reader.__annotations__ = {name: annotation}
        names = vars(sys.modules[owner.__module__]) if owner.__module__ in sys.modules else {}
        try:
            hints = typing.get_type_hints(reader, names, {**vars(owner), owner.__name__: owner}, include_extras=True)
        except Exception as error:
            raise TypeError(
                f"{owner.__name__}.{name}: its annotation cannot be read, so it cannot be set: {error}"
            ) from error
        return read_annotation(hints[name], owner)

    def __get__(self, instance: Any, owner: type) -> Any:
        return self if instance is None else instance._vdata_.states.read(instance, self)

    def __set__(self, instance: Any, value: object) -> None:
        instance._vdata_.states.write(instance, self, value)

    def __delete__(self, instance: object) -> None:
        raise AttributeError(f"the field {self.name!r} cannot be deleted; set it to None")


def field(
    default: object = ABSENT, *, default_factory: Callable[[], object] | None = None, guard: object = None
) -> Any:
    """A field of a virtual or durable object, with more to say than its default.

    Args:
        default: the value for objects that are not given one.
        default_factory: called to make that value, such as `DurableMap`.
        guard: besides the annotation, a type or pattern that each value assigned must fit; or an object whose
            ``check(value, path)`` raises if it does not like the value.
    """
    if default is not ABSENT and default_factory is not None:
        raise TypeError("a field has a default or a default_factory, not both")
    return Field(default, default_factory, guard)


def make_fields(cls: type) -> dict[str, Field]:
    """The fields that a class annotates itself, set as its attributes."""
    fields: dict[str, Field] = {}
    for name in _list_annotated(cls):
        given = cls.__dict__.get(name, ABSENT)
        made = given if isinstance(given, Field) else Field(given, None, None)
        made.name, made.owner = name, cls
        fields[name] = made
        setattr(cls, name, made)
    return fields


def _list_annotated(cls: type) -> list[str]:
    """The names that the class itself annotates, but for class variables and double underscores."""
    found = inspect.get_annotations(cls, **_AS_TEXT)
    return [
        name
        for name, annotation in found.items()
        if not name.startswith("__") and not str(annotation).removeprefix("typing.").startswith("ClassVar")
    ]
