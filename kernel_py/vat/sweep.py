"""The end of virtual data: what is not durable goes with the incarnation that made it.

The kernel has forgotten its exports when the next incarnation starts, and no durable thing can mention it. So its
records are deleted, and what they mention loses those pillars.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from kernel_py.vat import schema
from kernel_py.vat.collections import delete_collection
from kernel_py.vat.store import VatStore
from kernel_py.wire import canonical

if TYPE_CHECKING:
    from kernel_py.vat.vdata import Vdata


def sweep_virtual(vdata: Vdata) -> None:
    """Delete all virtual objects and collections of earlier incarnations."""
    store = vdata.store
    for key in _scan(store, schema.state(schema.VIRTUAL)):
        vdata.states.delete(key.removeprefix(schema.state("")))
    for number, is_durable, is_weak in _list_collections(store):
        if not is_durable:
            delete_collection(vdata, number, is_weak=is_weak)
    vdata.flush()
    for prefix in (schema.reference_count(schema.VIRTUAL), schema.export_status(schema.VIRTUAL)):
        for key in _scan(store, prefix):
            store.delete(key)
    for key in _scan(store, schema.KINDS):
        number = int(key.split(".")[2])
        if store.get(schema.descriptor(number)) is None:
            store.delete(key)
    possibly_dead = vdata.pillars.possibly_dead
    possibly_dead.difference_update([vref for vref in possibly_dead if vref.startswith(schema.VIRTUAL)])


def _scan(store: VatStore, prefix: str) -> Iterator[str]:
    """The keys that begin with `prefix`; they may be deleted meanwhile."""
    key = store.get_next_key(prefix)
    while key is not None and key.startswith(prefix):
        yield key
        key = store.get_next_key(key)


def _list_collections(store: VatStore) -> Iterator[tuple[int, bool, bool]]:
    """The number of each collection, whether it is durable, and whether it is weak."""
    key = store.get_next_key(schema.COLLECTIONS)
    while key is not None and key.startswith(schema.COLLECTIONS):
        number = int(key.split(".")[1])
        text = store.get(schema.collection(number) + schema.SCHEMATA)
        assert text is not None
        schemata = canonical.load(text)
        yield number, schemata["isDurable"], schemata["isWeak"]
        key = store.get_next_key(schema.collection(number) + "~")  # which is after all keys of the collection
