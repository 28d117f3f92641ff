"""Shapes: the types of what durable objects keep, in a form that the next incarnation's types are compared with.

A shape is JSON: null for anything, else a list of alternatives. An alternative is the name of a type, such as ``int``
or ``object Purse``; or ``[container, shape of what is in it]``, or ``["row", [shape, ...]]``. Guards tell their shapes
(`Guard.shape`). Patterns, such as ``M.gt(0)``, are not in them: what they say may change from incarnation to
incarnation.
"""

from __future__ import annotations

from typing import Any

Shape = list[Any] | None


def covers(new: Shape, old: Shape) -> bool:
    """Whether all that fits `old` fits `new`, as far as shapes tell."""
    if new is None:
        return True
    return old is not None and all(any(_covers_one(wide, each) for wide in new) for each in old)


def _covers_one(new: Any, old: Any) -> bool:
    match new, old:
        case str(), str():
            # "str" covers "str 'open'", and "object" covers "object Purse".
            return old == new or old.startswith(f"{new} ")
        case [str(container), inner], [str(other), had] if container == other == "row":
            return len(inner) == len(had) and all(map(covers, inner, had))
        case ["list", inner], ["row", had]:
            return all(covers(inner, each) for each in had)
        case [str(container), inner], [str(other), had]:
            return container == other and covers(inner, had)
        case _:
            return False


def describe_shape(shape: Shape) -> str:
    """A shape for people, such as ``int | list of str``."""
    return "anything" if shape is None else " | ".join(map(_describe_one, shape)) or "nothing"


def _describe_one(alternative: Any) -> str:
    match alternative:
        case ["row", inner]:
            return f"[{', '.join(map(describe_shape, inner))}]"
        case [str(container), inner]:
            return container if inner is None else f"{container} of {describe_shape(inner)}"
        case _:
            return str(alternative).removeprefix("object ")
