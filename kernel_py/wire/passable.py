"""Passable values that Python has no type of its own for, and remote errors.

What may be passed between vats, and as what it arrives:

| Python                            | passable     | arrives as                                |
|-----------------------------------|--------------|-------------------------------------------|
| ``None``                          | null         | ``None``                                  |
| `Undefined`                       | undefined    | `Undefined`                               |
| ``bool``                          | boolean      | ``bool``                                  |
| ``int``                           | bigint       | ``int``                                   |
| ``float``                         | number       | ``float`` (-0.0 as 0.0)                   |
| ``str``                           | string       | ``str``                                   |
| ``bytes``                         | byteArray    | ``bytes``                                 |
| ``list``, ``tuple``               | copyArray    | ``list``                                  |
| ``dict`` with ``str`` keys, or a  | copyRecord   | ``dict``, keys in canonical order         |
| read-only ``mappingproxy`` of one |              |                                           |
| `Tagged`                          | tagged       | `Tagged`                                  |
| `Symbol`                          | symbol       | `Symbol`                                  |
| an exception                      | error        | `RemoteError`, and the builtin it names   |
| far objects and presences         | remotable    | a presence, or the far object at its home |
| promises                          | promise      | a promise                                 |

Only these very types are passable, not their subclasses: what arrives has the type of what was sent.

Source: OCapN's data model; @endo/pass-style.
"""

from __future__ import annotations

import builtins
from dataclasses import dataclass
from typing import Final, final


@final
class UndefinedType:
    """The type of `Undefined`, JavaScript's undefined: falsy, and the only one of its kind."""

    __slots__ = ()
    _only: UndefinedType | None = None

    def __new__(cls) -> UndefinedType:
        if cls._only is None:
            cls._only = super().__new__(cls)
        return cls._only

    def __bool__(self) -> bool:
        return False

    def __repr__(self) -> str:
        return "Undefined"

    def __copy__(self) -> UndefinedType:
        return self

    def __deepcopy__(self, memo: object) -> UndefinedType:
        return self

    def __reduce__(self) -> str:
        return "Undefined"


Undefined: Final = UndefinedType()


@dataclass(frozen=True, slots=True)
class Tagged:
    """A passable with a label that gives it a meaning, such as a set or an amount.

    An OCapN tagged value; ``makeTagged(tag, payload)`` in JavaScript.
    """

    tag: str
    payload: object


@dataclass(frozen=True, slots=True)
class Symbol:
    """A JavaScript symbol that can be passed.

    Attributes:
        name: the key of a registered symbol; a well-known symbol's name behind ``@@``, such as
            ``@@asyncIterator``. The key of a registered symbol that begins with ``@@`` itself has
            another ``@@`` before it.
    """

    name: str


_WELL_KNOWN_SYMBOLS: Final = frozenset(
    {
        "@@asyncDispose",
        "@@asyncIterator",
        "@@dispose",
        "@@hasInstance",
        "@@isConcatSpreadable",
        "@@iterator",
        "@@match",
        "@@matchAll",
        "@@replace",
        "@@search",
        "@@species",
        "@@split",
        "@@toPrimitive",
        "@@toStringTag",
        "@@unscopables",
    }
)
_IFACE_PREFIXES: Final = ("Alleged: ", "DebugName: ")


def find_symbol_fault(name: str) -> str | None:
    """What is wrong with the name of a `Symbol`, or None."""
    if not name.startswith("@@") or name.startswith("@@@@") or name in _WELL_KNOWN_SYMBOLS:
        return None
    return f"{name!r:.80} is not a well-known symbol; the registered one is Symbol({'@@' + name!r:.80})"


def find_iface_fault(iface: str) -> str | None:
    """What is wrong with the interface of a remotable, or None."""
    if iface.startswith(_IFACE_PREFIXES) or iface == "Remotable":
        return None
    return f"an interface is 'Alleged: <name>', 'DebugName: <name>' or 'Remotable', not {iface!r:.80}"


class RemoteError(Exception):
    """An error that happened in another vat.

    Made by `make_remote_error`, which lets it be the builtin exception of the same name as well,
    so that ``except ValueError`` holds across vats.

    Attributes:
        name: the error's name at its home, such as ``ValueError`` or ``InsufficientFunds``.
        message: the error's text at its home; also what ``str()`` gives.
        error_id: by which the vat that sent it can find it in its own log, or None.
    """

    name: str
    message: str
    error_id: str | None

    def __init__(self, message: str = "", *, name: str = "Error", error_id: str | None = None) -> None:
        self.args = (message,)
        self.name = name
        self.message = message
        self.error_id = error_id

    def __str__(self) -> str:
        return self.message

    def __repr__(self) -> str:
        suffix = "" if self.error_id is None else f", error_id={self.error_id!r}"
        return f"RemoteError({self.message!r}, name={self.name!r}{suffix})"

    def __reduce__(self) -> tuple[object, ...]:
        return make_remote_error, (self.name, self.message, self.error_id)


_JAVASCRIPT_NAMES = {"RangeError": "ValueError", "URIError": "ValueError"}
"""JavaScript's own errors that mean what a Python builtin of another name means."""


def _can_be_remote(value: object) -> bool:
    """Whether a builtin can also be a remote error.

    Exceptions that steer the interpreter must not come from outside: those that are not an
    `Exception`, and StopIteration and StopAsyncIteration, which end a loop or break an await. An
    exception group cannot exist without its members.
    """
    return (
        isinstance(value, type)
        and issubclass(value, Exception)
        and not issubclass(value, (StopIteration, StopAsyncIteration, BaseExceptionGroup))
    )


def _make_class(base: type[Exception]) -> type[RemoteError]:
    def init(self: RemoteError, message: str = "", *, name: str = base.__name__, error_id: str | None = None) -> None:
        RemoteError.__init__(self, message, name=name, error_id=error_id)
        if isinstance(self, SyntaxError):
            self.msg = message  # what tracebacks print for it

    namespace = {"__init__": init, "__module__": __name__, "__doc__": RemoteError.__doc__}
    return type(f"Remote{base.__name__}", (RemoteError, base), namespace)


_BASES: dict[str, type[Exception]] = {
    name: value for name, value in vars(builtins).items() if name[0] != "_" and _can_be_remote(value)
}
_BASES |= {name: _BASES[alias] for name, alias in _JAVASCRIPT_NAMES.items()}
_CLASSES: dict[type[Exception], type[RemoteError]] = {Exception: RemoteError}


def make_remote_error(name: str, message: str, error_id: str | None) -> RemoteError:
    """An error as it arrives from another vat, to be raised here.

    Where `name` is that of a builtin exception, it is also an instance of that one. JavaScript's
    RangeError and URIError are ValueErrors too; its other errors are builtins by the same name
    (TypeError, SyntaxError, ReferenceError), or have no counterpart (Error, EvalError,
    AggregateError). The exceptions that steer the interpreter (StopIteration, KeyboardInterrupt and
    the like) arrive as mere RemoteErrors. `name` itself is always kept.
    """
    base = _BASES.get(name, Exception)
    found = _CLASSES.get(base)
    if found is None:
        found = _CLASSES[base] = _make_class(base)
    return found(message, name=name, error_id=error_id)
