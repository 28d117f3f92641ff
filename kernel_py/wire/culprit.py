"""Faults found deep inside a value, and the path to them.

A `Culprit` is raised where the fault is. Each container that it passes on its way out adds itself and
the step that leads inwards; so a path costs nothing until there is something to say. `as_marshal_error`
makes of it what callers see.
"""

from __future__ import annotations

from kernel_py.wire.errors import MarshalError

_STEPS_MAX = 12


class Culprit(Exception):
    """A part of a value at fault; never leaves the marshaller.

    Args:
        message: what is wrong with it, and what to do.
        is_too_deep: it is only the last straw; look for a cycle around it.
    """

    def __init__(self, message: str, *, is_too_deep: bool = False) -> None:
        super().__init__(message)
        self._message = message
        self._is_too_deep = is_too_deep
        self._way_out: list[tuple[object, str]] = []

    def pass_out_of(self, container: object, step: str) -> None:
        """Note that `step`, taken in `container`, leads here. Called from the inside outwards."""
        self._way_out.append((container, step))

    def as_marshal_error(self, root: str) -> MarshalError:
        """The error for the caller, whose path begins with `root`."""
        way_in = self._way_out[::-1]
        steps = [step for _, step in way_in]
        message = self._message
        if self._is_too_deep:
            length = _find_cycle([container for container, _ in way_in])
            if length is not None:
                del steps[length:]
                message = "it contains itself, and a passable value is a tree; pass a copy without the cycle"
        if len(steps) > _STEPS_MAX:
            steps[_STEPS_MAX:] = ["..."]
        return MarshalError(message, root + "".join(steps))


def _find_cycle(containers: list[object]) -> int | None:
    """How many steps lead from the first container to the first that repeats one before it."""
    for length, container in enumerate(containers):
        if any(container is outer for outer in containers[:length]):
            return length
    return None


def index_step(index: int) -> str:
    return f"[{index}]"


def key_step(key: object) -> str:
    return f"[{key!r:.60}]"


def name_type(value: object) -> str:
    """The type of `value` with its article: ``a set``, ``an OrderedDict``."""
    noun = type(value).__name__
    return f"{'an' if noun[:1].lower() in 'aeio' else 'a'} {noun}"
