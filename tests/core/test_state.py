"""The state's transactions and deltas; the schema's codecs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel_py.core import schema
from kernel_py.core.schema import (
    ClistEntry,
    Cluster,
    ClusterState,
    CreatedVat,
    Gas,
    Inflight,
    ItemKind,
    KernelObject,
    KernelPromise,
    Mark,
    PromiseState,
    QueuedMessage,
    QueueItem,
    Request,
    ServiceObject,
    Snapshot,
    Timer,
    Upgrade,
    Vat,
    VatCounters,
    VatState,
)
from kernel_py.core.state import KernelState
from kernel_py.core.store import Delta, MemoryBackend
from kernel_py.hosts.memory import run_now
from kernel_py.wire.errors import KernelBug, StoreError

# --- transactions -----------------------------------------------------------------------------------


def filled() -> KernelState:
    state = KernelState.load({"kernel.a": "1", "kernel.b": "2"})
    state.begin()
    return state


def test_changes_are_seen_at_once() -> None:
    state = filled()
    state.set("kernel", "c", 3)
    state.delete("kernel", "a")
    assert (state.get("kernel", "a"), state.get("kernel", "c")) == (None, 3)
    assert state.rows("kernel") == ["b", "c"]
    assert state.count("kernel") == 2


def test_an_abort_puts_everything_back() -> None:
    state = filled()
    before = {name: dict(rows) for name, rows in state._tables.items()}
    state.set("kernel", "a", 9)
    state.set("kernel", "a", 10)
    state.delete("kernel", "a")
    state.delete("kernel", "b")
    state.set("objects", "ko20", KernelObject("v1", 0, 0, ""))
    state.set("kernel", "b", 11)
    state.append_transcript("v1", 1, "entry")
    state.drop_transcript("v2")
    state.add_bundle("b1", "text")
    state.drop_bundle("b2")
    state.abort()
    assert state._tables == before
    assert not state.take_delta()


def test_an_abort_leaves_earlier_transactions_alone() -> None:
    state = filled()
    state.set("kernel", "c", 3)
    state.append_transcript("v1", 1, "kept")
    state.add_bundle("b1", "kept")
    state.commit()
    state.begin()
    state.set("kernel", "c", 4)
    state.append_transcript("v1", 2, "lost")
    state.drop_bundle("b1")
    state.abort()
    assert state.take_delta() == Delta(
        puts={"kernel.c": "3"}, inserts=["kernel.c"], transcript=[("v1", 1, "kept")], bundles={"b1": "kept"}
    )


def test_a_delta_has_what_changed_once() -> None:
    state = filled()
    state.set("kernel", "c", 3)
    state.set("kernel", "c", 4)
    state.delete("kernel", "a")
    state.commit()
    assert state.take_delta() == Delta(puts={"kernel.c": "4"}, inserts=["kernel.c"], deletes=["kernel.a"])
    assert not state.take_delta()


def test_what_came_and_went_is_not_in_the_delta() -> None:
    state = filled()
    state.set("kernel", "c", 3)
    state.commit()
    state.begin()
    state.delete("kernel", "c")
    state.delete("kernel", "a")
    state.commit()
    state.begin()
    state.set("kernel", "a", 5)
    state.commit()
    assert state.take_delta() == Delta(puts={"kernel.a": "5"})


def test_the_entries_of_a_dropped_transcript_are_not_in_the_delta() -> None:
    state = filled()
    state.append_transcript("v1", 1, "a")
    state.append_transcript("v2", 1, "b")
    state.commit()
    state.begin()
    state.drop_transcript("v1")
    state.commit()
    assert state.take_delta() == Delta(transcript=[("v2", 1, "b")], transcript_drops=["v1"])


@pytest.mark.parametrize(
    "changes, bundles, drops",
    [
        ("+", {"b1": "text"}, []),
        ("-", {}, ["b1"]),
        ("+-", {}, ["b1"]),
        ("-+", {"b1": "text"}, []),
        ("+-+", {"b1": "text"}, []),
        ("-+-", {}, ["b1"]),
    ],
)
def test_the_last_change_of_a_bundle_counts(changes: str, bundles: dict[str, str], drops: list[str]) -> None:
    state = filled()
    for change in changes:
        if change == "+":
            state.add_bundle("b1", "text")
        else:
            state.drop_bundle("b1")
    state.commit()
    assert state.take_delta() == Delta(bundles=bundles, bundle_drops=drops)


def test_transactions_do_not_overlap() -> None:
    state = filled()
    with pytest.raises(KernelBug, match="began inside another"):
        state.begin()
    with pytest.raises(KernelBug, match="inside a crank"):
        state.take_delta()
    state.commit()
    with pytest.raises(KernelBug, match="had not begun"):
        state.commit()
    with pytest.raises(KernelBug, match="had not begun"):
        state.abort()


def test_numbers_are_taken_in_order() -> None:
    state = KernelState()
    state.begin()
    assert [state.next_number(schema.NEXT_OBJECT) for _ in range(3)] == [20, 21, 22]
    assert state.next_number(schema.NEXT_PROMISE) == 40
    state.abort()
    state.begin()
    assert state.next_number(schema.NEXT_OBJECT) == 20


_CHANGES = st.lists(
    st.tuples(
        st.sampled_from(["set", "delete", "commit", "abort", "delta"]),
        st.sampled_from(["kernel", "v1.clist"]),
        st.sampled_from(["ko1", "ko2", "ko3"]),
        st.integers(0, 9),
    ),
    max_size=40,
)


@given(_CHANGES)
def test_deltas_applied_in_order_give_the_state(changes: list[tuple[str, str, str, int]]) -> None:
    state, backend = KernelState(), MemoryBackend()
    state.begin()
    kept: dict[tuple[str, str], Any] = {}
    seen = dict(kept)
    for change, table, row, number in changes:
        value: Any = number if table == "kernel" else ClistEntry(f"o-{number}", is_reachable=bool(number % 2))
        if change == "set":
            state.set(table, row, value)
            seen[table, row] = value
        elif change == "delete" and (table, row) in seen:
            state.delete(table, row)
            del seen[table, row]
        elif change == "commit":
            state.commit()
            state.begin()
            kept = dict(seen)
        elif change == "abort":
            state.abort()
            state.begin()
            seen = dict(kept)
        elif change == "delta":
            state.commit()
            kept = dict(seen)
            run_now(backend.commit(state.take_delta()))
            state.begin()
            assert KernelState.load(backend.texts)._tables == state._tables
        assert {(name, key): item for name, rows in state._tables.items() for key, item in rows.items()} == seen


# --- codecs -----------------------------------------------------------------------------------------

VALUES: list[tuple[str, str, Any]] = [
    ("kernel", "nextObject", 20),
    ("kernel", "seed", "ü\ud800"),
    ("objects", "ko20", KernelObject(None, 1, 2, 'a "name"')),
    ("promises", "kp40", KernelPromise(PromiseState.UNRESOLVED, 2, "v1", ("c1", "request.k", "v1"), 3, 5, "", ())),
    ("promises", "kp41", KernelPromise(PromiseState.REJECTED, 1, None, (), 0, 0, '#"\ud800"', ("ko1", "kp2"))),
    ("kp40.messages", "3", QueuedMessage("kp40", "#[]", ("ko1",), None)),
    ("vats", "v1", Vat("a", "c1", "iframe", VatState.RUNNING, 0, ((1, "b1-0", "a.py"),), "ko20", "", True)),
    ("counters", "v1", VatCounters(1, 2, 50, 60, 0, 2, 0, "ab12")),
    ("inflight", "v1/1", Inflight(1, 5, '["startVat"]', 1, ItemKind.START, 7, None, ("ko1",), ("ko2",), 50, 60)),
    ("v1.clist", "ko1", ClistEntry("o-50", is_reachable=False)),
    ("v1.clist", "o-50", "ko1"),
    ("v12.queue", "0", QueueItem(1, ItemKind.MESSAGE, QueuedMessage("ko1", "#[]", (), "kp1"))),
    ("v12.queue", "1", QueueItem(2, ItemKind.NOTIFY, "kp1")),
    ("v12.queue", "2", QueueItem(3, ItemKind.START, ("#{}", ("ko1",)))),
    ("v12.queue", "3", QueueItem(4, ItemKind.REAP, None)),
    ("v12.queue", "4", QueueItem(5, ItemKind.PIPELINED, "kp1")),
    ("v12.queue", "5", QueueItem(6, ItemKind.OPTIONS, {"reapInterval": 7})),
    ("v12.collect", "ko1", 1),
    ("leftovers", "v3", 1),
    ("clusters", "c1", Cluster("n", ClusterState.LAUNCHING, (("a", "v1"),), "a", "", "k", "b1-0", "{}", "")),
    ("upgrades", "v1", Upgrade("k", "b1-0", "a.py", "#{}", ("ko1",), "vat upgraded")),
    ("marks", "v1", Mark(7, "base", "ab12", (3, 7))),
    ("snapshots", "v1/7", Snapshot(7, 0, "base", 65_536, "0:ab12,head:cd34", "ef56", "ab78")),
    ("chunks", "ab12", 2),
    ("bundles", "b1-0", 2),
    ("pins", "ko1", 1),
    ("held", "7", "kp40"),
    ("revoked", "ko1", 1),
    ("services", "ko20", ServiceObject("fetch", "grant", "c1", 2, {"hosts": ["example.com"]})),
    ("created", "v2", CreatedVat("ko20", "kp1", "ko21", ("kp2",), True, "#1", ("ko1",))),
    ("timers", "7", Timer(1_000, 0, "kp40", "ko20", "")),
    ("calls", "3", QueuedMessage("ko20", "#[]", ("ko1",), "kp41")),
    ("gas", "v1", Gas(7, 3, 2)),
    ("requests", "a-key_1", Request(1, "send", "kp1", "")),
]


@pytest.mark.parametrize("table, row, value", VALUES)
def test_a_value_survives_the_store(table: str, row: str, value: Any) -> None:
    text = schema.encode(table, value)
    assert text.encode()
    decoded = schema.decode(schema.store_key(table, row), text)
    assert decoded == (table, row, value)
    assert type(decoded[2]) is type(value)


def _types(value: Any) -> Iterator[type]:
    yield type(value)
    if isinstance(value, tuple):
        for item in value:
            yield from _types(item)


@pytest.mark.parametrize("table, row, value", VALUES)
def test_a_value_s_parts_keep_their_types(table: str, row: str, value: Any) -> None:
    _, _, decoded = schema.decode(schema.store_key(table, row), schema.encode(table, value))
    assert list(_types(decoded)) == list(_types(value))


def test_every_family_has_a_value_here() -> None:
    assert {table.rpartition(".")[2] for table, _, _ in VALUES} == set(schema.FAMILIES)


@pytest.mark.parametrize(
    "key", ["", ".", "kernel", "kernel.", ".x", "v1.songs.x", "v1.x.clist.y", "KERNEL.x", "v1.objects.ko1"]
)
def test_an_unknown_key_is_refused(key: str) -> None:
    with pytest.raises(StoreError, match="was written by another"):
        schema.decode(key, "1")


def test_a_table_that_does_not_exist_is_a_bug() -> None:
    with pytest.raises(KernelBug, match="no such table: songs"):
        schema.encode("songs", 1)
