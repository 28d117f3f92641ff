"""The vat store's schema: every key that liveslots writes, and what its value is.

Owns the names. They are SwingSet's where both have the same thing, so that a store can be read with its tools.
`<C>` is a collection's number, `<K>` a kind's, `<base>` a vref without its facet.

Source: the reference, 1.5.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from kernel_py.wire.refs import Vref

COUNTERS: Final = "idCounters"
STORE_KINDS: Final = "storeKindIDTable"
BAGGAGE: Final = "baggageID"
WATCHED_PROMISES: Final = "watchedPromiseTableID"
KINDS: Final = "vom.dkind."
COLLECTIONS: Final = "vc."
VIRTUAL: Final = "o+v"
"""How the vrefs of virtual objects and collections begin."""

ENTRY_COUNT: Final = "|entryCount"
NEXT_ORDINAL: Final = "|nextOrdinal"
SCHEMATA: Final = "|schemata"

KEYS: Final[tuple[tuple[str, str], ...]] = (
    (COUNTERS, "JSON `{exportID, collectionID, promiseID, kindID}`: the next numbers"),
    (STORE_KINDS, "JSON: the kinds of the eight collection types by SwingSet's names, 2 to 9"),
    (BAGGAGE, "the vref of the baggage, `o+d6/1`"),
    (WATCHED_PROMISES, "the vref of the map of watched promises, `o+d6/2`: from vpid to `[[watcher, *args], ...]`"),
    ("vom.<base>", "a virtual or durable object's state: JSON `{field: capdata}`"),
    ("vom.rc.<base or o-N>", "how often states, keys and values of this store mention it; deleted at 0"),
    (
        "vom.es.<base>",
        "the kernel's view, a letter for the object, then one per facet: `r` reachable, `s` recognizable, `n` neither",
    ),
    ("vom.ir.<base or o±N>|<C>", "`1`: the weak collection `<C>` has it as a key"),
    (
        "vom.dkind.<K>.descriptor",
        "a durable kind: JSON `{kindID, tag, base, fields, shapes, facets}`; fields: what older objects have in them",
    ),
    ("vom.dkind.<K>.nextID", "the number of the next instance of a kind, durable or virtual"),
    ("vc.<C>.<key>", "an entry: the value as capdata; the key as `kernel_py.vat.keys` writes it"),
    ("vc.<C>.|<vref>", "the ordinal of a reference among the keys"),
    (f"vc.<C>.{ENTRY_COUNT}", "the number of entries; not for weak collections"),
    (f"vc.<C>.{NEXT_ORDINAL}", "the ordinal of the next reference"),
    (f"vc.<C>.{SCHEMATA}", "JSON `{kindID, isDurable, isWeak}`: what the collection is"),
)
"""All keys, for people; docs/reference/vat-store.md is made of it."""

_BASE = re.compile(r"o\+([dv])([0-9]+)/([0-9]+)(?::([0-9]+))?")


@dataclass(frozen=True, slots=True)
class StoredRef:
    """The parts of the vref of a virtual or durable object. `facet` is None for the object itself."""

    is_durable: bool
    kind: int
    instance: int
    facet: int | None


def find_stored_ref(vref: str) -> StoredRef | None:
    """The parts of a vref, if it is that of a virtual or durable object or collection."""
    match = _BASE.fullmatch(vref)
    if match is None:
        return None
    mark, kind, instance, facet = match.groups()
    return StoredRef(mark == "d", int(kind), int(instance), None if facet is None else int(facet))


def is_stored(vref: str) -> bool:
    """Whether it is the vref of a virtual or durable object or collection."""
    return vref.startswith(("o+d", "o+v"))


def make_kind(*, is_durable: bool, number: int) -> str:
    """How the vrefs of a kind's instances begin, before the "/"."""
    return f"o+{'d' if is_durable else 'v'}{number}"


def make_base(*, is_durable: bool, kind: int, instance: int) -> Vref:
    return Vref(f"{make_kind(is_durable=is_durable, number=kind)}/{instance}")


def make_facet(base: Vref, facet: int) -> Vref:
    return Vref(f"{base}:{facet}")


def state(base: str) -> str:
    return f"vom.{base}"


def reference_count(vref: str) -> str:
    return f"vom.rc.{vref}"


def export_status(base: str) -> str:
    return f"vom.es.{base}"


def recognizers(vref: str) -> str:
    """The prefix of the keys of all weak collections that have `vref` as a key."""
    return f"vom.ir.{vref}|"


def recognizer(vref: str, collection: int) -> str:
    return f"vom.ir.{vref}|{collection}"


def descriptor(kind: int) -> str:
    return f"vom.dkind.{kind}.descriptor"


def next_instance(kind: int) -> str:
    return f"vom.dkind.{kind}.nextID"


def collection(number: int) -> str:
    """The prefix of all keys of a collection."""
    return f"vc.{number}."


def ordinal(number: int, vref: str) -> str:
    return f"vc.{number}.|{vref}"
