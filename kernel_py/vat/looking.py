"""Looking at a vat's heap, for people: the value of an expression, or a list of what there is.

Only in a realm that is no living vat and will never be one (`VatSession`): what is looked at runs the vat's code, and
may change the heap. Texts do not depend on where in memory a thing lies, so that two heaps can be compared.

What is listed, each with its type and its value as text:

    export       far objects of this vat, by vref
    presence     objects of other vats that this heap holds
    object       virtual and durable objects that are in the heap at the moment, and collections
    kind         the kinds of virtual and durable objects
    baggage      its entries
    global       the main file's own variables
"""

from __future__ import annotations

import ast
import binascii
import re
from collections.abc import Iterator, Mapping
from itertools import islice
from types import FunctionType, ModuleType
from typing import Any

from kernel_py.vat.presence import Presence
from kernel_py.vat.representative import Representative
from kernel_py.vat.slots import Slots
from kernel_py.vat.store import VatStore
from kernel_py.wire.errors import cut_middle
from kernel_py.wire.limits import Limits

_ENTRIES_MAX = 20
"""Of a collection, in its value as text."""

_ADDRESS = re.compile(r" at 0x[0-9a-f]+")
_FILE = "<look>"
"""The name of the file that an expression is in."""

Row = tuple[str, str, str, str]
"""Group, name, type, value."""


class Heap:
    """What there is to be looked at.

    Args:
        main: the vat's main module, or None if it was not loaded.
        baggage: or None.
        kinds: class by the kind's name.
    """

    def __init__(
        self,
        slots: Slots,
        main: ModuleType | None,
        baggage: Mapping[Any, Any] | None,
        kinds: Mapping[str, type],
        limits: Limits,
    ) -> None:
        self._slots = slots
        self._globals = {} if main is None else vars(main)
        self._baggage = baggage
        self._kinds = kinds
        self._limits = limits

    def evaluate(self, expression: str) -> object:
        """The value of an expression; a coroutine, if it awaits anything.

        It sees the main file's globals, and by name: ``root``, ``baggage``, and ``objects``, all values by vref.

        Raises:
            BaseException: what it raised; SyntaxError if it is none.
        """
        objects = dict(self._slots.list_values())
        names = {"root": objects.get("o+0"), "baggage": self._baggage, "objects": objects, **self._globals}
        code = compile(expression.strip(), _FILE, "eval", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
        return eval(code, names)  # noqa: S307 (of the vat's own powers, in a heap that is nobody's)

    def list_rows(self) -> list[Row]:
        """What there is, as much as the limits allow."""
        return list(islice(self._list_all(), self._limits.look_rows_max))

    def _list_all(self) -> Iterator[Row]:
        for vref, value in self._slots.list_values():
            if isinstance(value, Presence):
                group = "presence"
            else:
                group = "object" if isinstance(value, Representative) else "export"
            yield self._row(group, vref, value)
        for name, cls in sorted(self._kinds.items()):
            yield "kind", name, "type", f"{cls.__module__}.{cls.__qualname__}"
        for key, value in () if self._baggage is None else self._baggage.items():
            yield self._row("baggage", self._show(key), value)
        for name, value in self._globals.items():
            if not name.startswith("__") and not isinstance(value, (ModuleType, FunctionType, type)):
                yield self._row("global", name, value)

    def _row(self, group: str, name: str, value: object) -> Row:
        return group, name, type(value).__qualname__, self._show(value)

    def _show(self, value: object) -> str:
        return show(value, self._limits.look_row_chars_max)


def list_store(store: VatStore, limits: Limits) -> list[list[str]]:
    """The vat store's rows, as many as the limits allow; a value that is cut ends with a checksum of all of it."""
    rows: list[list[str]] = []
    key = store.get_next_key("")
    while key is not None and len(rows) < limits.look_rows_max:
        value = store.get(key) or ""
        shown = cut_middle(value, limits.look_row_chars_max)
        if shown != value:
            shown += f" (checksum {binascii.crc32(value.encode('utf-8', 'surrogatepass')):08x})"
        rows.append([key, shown])
        key = store.get_next_key(key)
    return rows


def show(value: object, chars_max: int) -> str:
    """A value as text; a far object with what it keeps."""
    try:
        text = _describe(value)
    except BaseException as error:  # noqa: BLE001 (the vat's code made it)
        text = f"<a {type(value).__qualname__}; its repr raised {type(error).__name__}>"
    return cut_middle(_ADDRESS.sub("", text), chars_max)


def _describe(value: Any) -> str:
    text = repr(value)
    if isinstance(value, Representative):
        if hasattr(value, "items"):
            return f"{text} {dict(islice(value.items(), _ENTRIES_MAX))!r}"
        if hasattr(value, "__iter__"):
            return f"{text} {list(islice(value, _ENTRIES_MAX))!r}"
        kept = {name: getattr(value, name) for name in type(value)._fields_}
    elif (
        text.startswith(f"<{type(value).__module__}.{type(value).__qualname__} object at ")
        or text == f"<{type(value).__name__}>"
    ):
        kept = dict(getattr(value, "__dict__", {}))
    else:
        return text
    return f"{text} {', '.join(f'{name}={each!r}' for name, each in kept.items())}".rstrip()
