"""What must hold of a kernel's state between any two inputs, recounted from scratch.

`check_state` looks at the tables alone; a `Mirror` compares them with what was made durable.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from kernel_py.core import schema
from kernel_py.core.kernel import Kernel
from kernel_py.core.queues import mentions, message_mentions
from kernel_py.core.schema import (
    ClistEntry,
    ClusterState,
    CreatedVat,
    ItemKind,
    KernelPromise,
    PromiseState,
    QueuedMessage,
    QueueItem,
    ServiceObject,
    Timer,
    VatState,
)
from kernel_py.core.services.vat_admin import ADMIN
from kernel_py.core.state import KernelState
from kernel_py.core.store import Delta, MemoryBackend
from kernel_py.core.transcripts import Chain
from kernel_py.wire import canonical
from kernel_py.wire.protocol import parse_transcript_entry
from kernel_py.wire.refs import Vref, is_vat_allocated
from kernel_py.wire.snapshots import digest_heap, list_chunks

_NO_HOLDS: Mapping[str, int] = {}


def check_state(kernel: Kernel, holds: Mapping[str, int] = _NO_HOLDS) -> None:
    """Assert every invariant of the tables. `holds` are references that the test itself has taken."""
    view = _View(kernel)
    view.check_vats()
    view.check_bundles()
    view.check_snapshots()
    view.check_queues()
    view.check_clists()
    view.check_counts(holds)
    view.check_promises()
    view.check_cycles()
    view.check_waiters()
    view.check_services()


class Mirror:
    """What a kernel started from the store would hold; kept up to date from the deltas that are committed.

    So that the comparison costs what a delta holds and not what the store does.
    """

    def __init__(
        self, tables: dict[str, dict[str, Any]], ends: dict[str, tuple[int, str]], contents: tuple[set[str], set[str]]
    ) -> None:
        self._tables = tables
        self._ends = ends
        """Of each transcript, the last number and hash."""
        self._bundles, self._chunks = contents

    @classmethod
    def of(cls, backend: MemoryBackend) -> Mirror:
        mirror = cls(KernelState.load(backend.texts)._tables, {}, (set(backend.bundles), set(backend.chunks)))
        for vat, entries in backend.transcripts.items():
            for number in sorted(entries):
                mirror._append(vat, number, entries[number])
        return mirror

    def copy(self) -> Mirror:
        tables = {table: dict(rows) for table, rows in self._tables.items()}
        return Mirror(tables, dict(self._ends), (set(self._bundles), set(self._chunks)))

    def _append(self, vat: str, number: int, entry: str) -> None:
        last, hashed = self._ends.get(vat, (0, ""))
        assert number == last + 1, vat
        assert parse_transcript_entry(canonical.load(entry)).number == number, vat
        chain = Chain(vat, self._tables[schema.VATS][vat].hashed_from, last, hashed)
        chain.verify([entry])
        self._ends[vat] = (number, chain._chain)

    def apply(self, delta: Delta) -> None:
        for key, text in delta.puts.items():
            table, row, value = schema.decode(key, text)
            is_new = row not in self._tables.setdefault(table, {})
            assert is_new == (key in delta.inserts), key
            self._tables[table][row] = value
        for key in delta.deletes:
            table, _, row = key.rpartition(".")
            del self._tables[table][row]
            if "." in table and not self._tables[table]:
                del self._tables[table]
        for vat, number, entry in delta.transcript:
            self._append(vat, number, entry)
        for vat in delta.transcript_drops:
            self._ends.pop(vat, None)
        self._bundles = (self._bundles - set(delta.bundle_drops)) | set(delta.bundles)
        self._chunks = (self._chunks - set(delta.chunk_drops)) | set(delta.chunks)

    def check_stored(self, kernel: Kernel) -> None:
        """Assert that the kernel, of which nothing is uncommitted, is what a new one would be."""
        assert self._tables == kernel._state._tables
        counters = self._tables[schema.COUNTERS]
        assert self._ends == {vat: (row.delivered, row.chain) for vat, row in counters.items() if row.delivered}
        assert self._bundles == set(self._tables[schema.BUNDLES])
        assert self._chunks == set(self._tables[schema.CHUNKS])

    def check_pending(self, kernel: Kernel) -> None:
        """Assert that the next delta would make the store what the kernel is."""
        state = kernel._state
        for table in self._tables.keys() | state._tables.keys():
            stored, rows = self._tables.get(table, _NO_ROWS), state._tables.get(table, _NO_ROWS)
            if stored != rows:
                for row in stored.keys() | rows.keys():
                    if stored.get(row) != rows.get(row):
                        assert state._dirty.get((table, row)) is (row in stored), (table, row)


_NO_ROWS: Mapping[str, Any] = {}


class _View:
    """The tables of one kernel, for one round of checks."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.tables = kernel._state._tables
        self.objects = self.table(schema.OBJECTS)
        self.promises: dict[str, KernelPromise] = self.table(schema.PROMISES)
        self.vats = self.table(schema.VATS)
        self.counters = self.table(schema.COUNTERS)
        self.inflight = self.table(schema.INFLIGHT)
        self.leftovers = set(self.table(schema.LEFTOVERS))
        self.clusters = self.table(schema.CLUSTERS)
        self.requests = self.table(schema.REQUESTS)
        self.services: dict[str, ServiceObject] = self.table(schema.SERVICES)
        self.created: dict[str, CreatedVat] = self.table(schema.CREATED)
        self.timers: dict[str, Timer] = self.table(schema.TIMERS)
        self.calls: dict[str, QueuedMessage] = self.table(schema.CALLS)
        self.living = {vat for vat, row in self.vats.items() if row.state is not VatState.TERMINATED}

    def table(self, name: str) -> dict[str, Any]:
        return self.tables.get(name, {})

    def iter_items(self) -> Iterator[tuple[str, QueueItem]]:
        for vat in self.living:
            for item in self.table(schema.vat_queue_table(vat)).values():
                yield vat, item

    def iter_promise_messages(self) -> Iterator[tuple[str, QueuedMessage]]:
        for kpid in self.promises:
            for message in self.table(schema.promise_queue_table(kpid)).values():
                yield kpid, message

    def iter_entries(self) -> Iterator[tuple[str, str, ClistEntry]]:
        for vat in self.living | self.leftovers:
            for row, value in self.table(schema.clist_table(vat)).items():
                if isinstance(value, ClistEntry):
                    yield vat, row, value

    def iter_inflight(self) -> Iterator[tuple[str, schema.Inflight]]:
        for row, record in self.inflight.items():
            yield row.partition("/")[0], record

    # --- the checks -----------------------------------------------------------------------------

    def check_vats(self) -> None:
        """A living vat has counters; a dead one, nothing. No table is left of what is gone."""
        assert set(self.counters) == self.living
        numbers = {vat: range(row.delivered + 1, row.dispatched + 1) for vat, row in self.counters.items()}
        assert set(self.inflight) == {schema.inflight_row(vat, number) for vat in numbers for number in numbers[vat]}
        families = {schema.clist_table, schema.vat_queue_table, schema.collect_table}
        known = {family(vat) for vat in self.living for family in families}
        known |= {schema.clist_table(vat) for vat in self.leftovers}
        assert not self.leftovers & self.living
        assert self.table(schema.GAS).keys() <= self.living
        assert all(self.table(schema.clist_table(vat)) for vat in self.leftovers)
        known |= {schema.promise_queue_table(kpid) for kpid in self.promises}
        owned = {name for name, rows in self.tables.items() if "." in name and rows}
        assert owned <= known
        for vat, record in self.iter_inflight():
            assert 1 <= record.attempts <= self.kernel._limits.delivery_attempts_max
            assert all(self.kernel._references.find_entry(vat, kref) for kref in record.imports)
            if record.number > self.counters[vat].delivered + 1:
                assert record.kind is ItemKind.MESSAGE
                assert record.attempts == 1
        for vat in self.living:
            assert self.vats[vat].cluster in self.clusters
            first = self.inflight.get(schema.inflight_row(vat, self.counters[vat].delivered + 1))
            start = first or next(iter(self.table(schema.vat_queue_table(vat)).values()), None)
            is_starting = self.vats[vat].state is VatState.STARTING
            assert is_starting == (start is not None and start.kind is ItemKind.START)

    def check_bundles(self) -> None:
        """Every bundle is counted for each living cluster, incarnation of a living vat, and upgrade under way."""
        clusters = [row for row in self.clusters.values() if row.state is not ClusterState.TERMINATED]
        used = Counter(row.bundle for row in clusters)
        used.update(bundle for vat in self.living for _, bundle, _ in self.vats[vat].sources)
        used.update(row.bundle for row in self.table(schema.UPGRADES).values())
        assert used == self.table(schema.BUNDLES)
        assert set(self.table(schema.UPGRADES)) <= self.living
        for vat in self.living:
            assert len(self.vats[vat].sources) == self.vats[vat].incarnation + 1
            upgrades = [row.kind for row in self.table(schema.vat_queue_table(vat)).values()].count(ItemKind.UPGRADE)
            first = self.inflight.get(schema.inflight_row(vat, self.counters[vat].delivered + 1))
            upgrades += first is not None and first.kind is ItemKind.UPGRADE
            assert upgrades == (vat in self.table(schema.UPGRADES))

    def check_snapshots(self) -> None:
        """Every chunk is counted for each snapshot that names it; every snapshot is in a living vat's mark."""
        snapshots: dict[str, schema.Snapshot] = self.table(schema.SNAPSHOTS)
        used = Counter(chunk for row in snapshots.values() for chunk in list_chunks(row.pages))
        assert used == self.table(schema.CHUNKS)
        marks: dict[str, schema.Mark] = self.table(schema.MARKS)
        assert set(marks) <= self.living
        assert set(snapshots) == {schema.snapshot_row(vat, number) for vat in marks for number in marks[vat].kept}
        for vat, mark in marks.items():
            assert list(mark.kept) == sorted(set(mark.kept))
            assert len(mark.kept) <= self.kernel._limits.snapshots_kept
            assert 0 < mark.delivered <= self.counters[vat].delivered
            assert all(number <= mark.delivered for number in mark.kept)
            for number in mark.kept:
                row = snapshots[schema.snapshot_row(vat, number)]
                assert row.delivered == number
                assert row.digest == digest_heap(row.base, row.memory_bytes, row.pages)

    def check_queues(self) -> None:
        """Queues have no gaps, and the head of every idle vat's can be found."""
        next_sequence = self.table(schema.KERNEL).get(schema.NEXT_SEQUENCE, 1)
        ready = set(self.kernel._queues._ready)
        for vat in self.living:
            rows = self.table(schema.vat_queue_table(vat))
            counters = self.counters[vat]
            assert set(rows) == {str(index) for index in range(counters.queue_head, counters.queue_tail)}
            sequences = [rows[str(index)].sequence for index in range(counters.queue_head, counters.queue_tail)]
            assert sequences == sorted(set(sequences))
            assert all(sequence < next_sequence for sequence in sequences)
            if sequences and self.kernel._cranks.may_begin(vat, rows[str(counters.queue_head)]):
                assert (sequences[0], vat) in ready
        for kpid, promise in self.promises.items():
            rows = self.table(schema.promise_queue_table(kpid))
            assert set(rows) == {str(index) for index in range(promise.queue_head, promise.queue_tail)}
        for vat, item in self.iter_items():
            if item.kind is ItemKind.MESSAGE:
                assert self.objects[item.payload.target].owner in (vat, None)
            elif item.kind is ItemKind.NOTIFY:
                assert self.promises[item.payload].state is not PromiseState.UNRESOLVED
        for kpid, message in self.iter_promise_messages():
            assert message.target == kpid
        pipelined = Counter((vat, item.payload) for vat, item in self.iter_items() if item.kind is ItemKind.PIPELINED)
        for kpid, promise in self.promises.items():
            if promise.decider is not None and self.vats[promise.decider].is_pipelining:
                assert pipelined[promise.decider, kpid] >= promise.queue_tail - promise.queue_head
        for vat in self.living:
            kinds = [item.kind for item in self.table(schema.vat_queue_table(vat)).values()]
            assert kinds.count(ItemKind.COLLECT) == bool(self.table(schema.collect_table(vat)))

    def check_clists(self) -> None:
        """C-lists are bijective; imports are below the counters; every export is the owner's."""
        for vat in self.living:
            rows = self.table(schema.clist_table(vat))
            forward = {row: value.vref for row, value in rows.items() if isinstance(value, ClistEntry)}
            backward = {row: value for row, value in rows.items() if not isinstance(value, ClistEntry)}
            assert {vref: kref for kref, vref in forward.items()} == backward
            assert len(forward) == len(backward)
            for vref in backward:
                if not is_vat_allocated(Vref(vref)):
                    counters = self.counters[vat]
                    assert int(vref[2:]) < (counters.next_object if vref[0] == "o" else counters.next_promise)
        owners = {
            kref: record.owner
            for kref, record in self.objects.items()
            if record.owner is not None and not schema.is_service(record.owner)
        }
        exports = [
            (kref, vat) for vat, kref, entry in self.iter_entries() if kref[1] == "o" and entry.vref.startswith("o+")
        ]
        assert sorted(exports) == sorted(owners.items())

    def check_counts(self, holds: Mapping[str, int]) -> None:
        """Every count equals a recount; what nothing mentions is gone; nothing dangles."""
        held: Counter[str] = Counter(holds)
        for _, item in self.iter_items():
            held.update(mentions(item.kind, item.payload))
        for _, message in self.iter_promise_messages():
            held.update(message_mentions(message))
        for promise in self.promises.values():
            held.update(promise.slots)
        for cluster in self.clusters.values():
            if cluster.state is not ClusterState.TERMINATED:
                held.update(self.vats[vat].root for _, vat in cluster.vats)
                held.update([cluster.result] if cluster.result else [])
        held.update(slot for upgrade in self.table(schema.UPGRADES).values() for slot in upgrade.slots)
        awaited = map(schema.find_awaiting, (upgrade.request for upgrade in self.table(schema.UPGRADES).values()))
        held.update(filter(None, awaited))
        held.update(self.table(schema.PINS))
        held.update(self.table(schema.HELD).values())
        self.count_services(held)
        held.update(request.promise for request in self.requests.values() if request.promise)
        reachable = held.copy()
        for _, kref, entry in self.iter_entries():
            if kref[1] == "p":
                held[kref] += 1
            elif entry.vref.startswith("o-"):
                held[kref] += 1
                reachable[kref] += entry.is_reachable
        assert {kref for kref, count in held.items() if count} <= self.objects.keys() | self.promises.keys()
        assert {kpid: row.refs for kpid, row in self.promises.items()} == {kpid: held[kpid] for kpid in self.promises}
        assert all(row.refs for row in self.promises.values())
        for kref, record in self.objects.items():
            assert (record.reachable, record.recognizable) == (reachable[kref], held[kref]), kref
            self.check_object(kref, record)
        assert not self.kernel._references._changes
        assert not self.kernel._references._reach_changes

    def check_object(self, kref: str, record: schema.KernelObject) -> None:
        is_service = schema.is_service(record.owner)
        if record.owner is None or is_service:
            assert record.recognizable, kref
        if record.reachable == 0 and not is_service:
            self.check_unreachable(kref, record)

    def check_unreachable(self, kref: str, record: schema.KernelObject) -> None:
        """Whoever must hear that an object is not reached any more has heard it, or will."""
        for vat in self.living:
            entry = self.table(schema.clist_table(vat)).get(kref)
            is_due = kref in self.table(schema.collect_table(vat))
            if entry is None:
                continue
            if vat == record.owner:
                assert is_due or (not entry.is_reachable and record.recognizable > 0), kref
            else:
                assert not entry.is_reachable, kref
                assert is_due or record.owner in self.living, kref

    def check_cycles(self) -> None:
        """No promises are held by nothing but each other."""
        held: Counter[str] = Counter()
        for promise in self.promises.values():
            held.update(slot for slot in promise.slots if slot[1] == "p")
        reached = {kpid for kpid, promise in self.promises.items() if promise.refs > held[kpid]}
        stack = list(reached)
        while stack:
            for slot in self.promises[stack.pop()].slots:
                if slot[1] == "p" and slot not in reached:
                    reached.add(slot)
                    stack.append(slot)
        assert reached == set(self.promises)

    def count_services(self, held: Counter[str]) -> None:
        for message in self.calls.values():
            held.update(message_mentions(message))
        for timer in self.timers.values():
            held.update([timer.target, timer.waking] if timer.waking else [timer.target])
        held.update(kref for kref, record in self.services.items() if record.kind == schema.GRANT)
        for vat, created in self.created.items():
            held.update([*filter(None, [created.result]), *created.waiters, *created.slots])
            if vat in self.living:
                held[self.vats[vat].root] += 1

    def check_created(self) -> None:
        """Of a created vat there is something as long as it lives, or somebody may ask how it ended."""
        admins = {kref: row.data for kref, row in self.services.items() if row.kind == ADMIN}
        assert admins == {row.admin: vat for vat, row in self.created.items() if row.admin}
        for vat, row in self.created.items():
            assert self.clusters[self.vats[vat].cluster].state is not ClusterState.TERMINATED
            assert bool(row.body) == (vat not in self.living)
            assert not row.result or self.vats[vat].state is VatState.STARTING
            assert row.admin or vat in self.living
        members = {vat for cluster in self.clusters.values() for _, vat in cluster.vats}
        assert members.isdisjoint(self.created)
        assert members | set(self.created) == set(self.vats)

    def check_promises(self) -> None:
        """An unresolved promise has a living decider, or is the result of one message on its way."""
        on_the_way = Counter(message.result for _, message in self.iter_promise_messages())
        on_the_way.update(item.payload.result for _, item in self.iter_items() if item.kind is ItemKind.MESSAGE)
        on_the_way.update(message.result for message in self.calls.values())
        on_the_way.update(timer.target for timer in self.timers.values() if not timer.interval_ms)
        on_the_way.update(kpid for created in self.created.values() for kpid in (*created.waiters, created.result))
        on_the_way.update(schema.find_awaiting(row.request) for row in self.table(schema.UPGRADES).values())
        for kpid, promise in self.promises.items():
            if promise.state is not PromiseState.UNRESOLVED:
                assert promise[2:6] == (None, (), 0, 0), kpid
                assert not on_the_way[kpid]
            elif promise.decider is None:
                assert on_the_way[kpid] == 1, kpid
                assert not promise.body
            else:
                assert promise.decider in self.living, kpid
                assert self.kernel._references.find_entry(promise.decider, kpid) is not None, kpid
                assert not on_the_way[kpid]
        for vat, record in self.iter_inflight():
            if record.result is not None:
                assert self.promises[record.result].decider == vat

    def check_waiters(self) -> None:
        """Whoever subscribes exists, and whatever waits is subscribed."""
        for kpid, promise in self.promises.items():
            assert list(promise.subscribers) == sorted(set(promise.subscribers))
            for subscriber in promise.subscribers:
                key, number = schema.find_request_key(subscriber), schema.find_timer(subscriber)
                if key is not None:
                    assert self.requests[key].promise == kpid
                elif number is not None:
                    assert self.timers[number].waking == kpid
                elif schema.is_cluster(subscriber):
                    assert self.clusters[subscriber].result == kpid
                else:
                    assert subscriber in self.living
                    assert self.kernel._references.find_entry(subscriber, kpid) is not None
        for key, request in self.requests.items():
            if request.promise:
                assert not request.response
                assert schema.request_waiter(key) in self.promises[request.promise].subscribers
        launching = {row.request for row in self.clusters.values() if row.state is ClusterState.LAUNCHING}
        launching |= {row.request for row in self.table(schema.UPGRADES).values()} & set(self.requests)
        unanswered = {key for key, row in self.requests.items() if not row.response}
        assert unanswered == launching | {key for key, row in self.requests.items() if row.promise}
        for name, cluster in self.clusters.items():
            assert bool(cluster.request) == (cluster.state is ClusterState.LAUNCHING)
            if cluster.state is ClusterState.TERMINATED:
                assert not any(vat in self.living for _, vat in cluster.vats)
                assert not cluster.result
            if cluster.state is ClusterState.LAUNCHING and cluster.result:
                assert name in self.promises[cluster.result].subscribers
            if cluster.state is ClusterState.RUNNING:
                assert self.promises[cluster.result].state is PromiseState.FULFILLED
        assert not self.kernel._promises._released

    def check_services(self) -> None:
        """Every service object is of a living cluster, and knows how much is done through it; every timer is found."""
        owned = {kref: row.owner for kref, row in self.objects.items() if schema.is_service(row.owner)}
        assert owned == {kref: schema.service_owner(row.service) for kref, row in self.services.items()}
        pending = Counter(timer.grant for timer in self.timers.values())
        pending.update(message.target for message in self.calls.values())
        pending.update(row.grant for vat, row in self.created.items() if vat in self.living)
        for kref, record in self.services.items():
            assert self.clusters[record.cluster].state is not ClusterState.TERMINATED
            assert record.pending == pending.pop(kref, 0), kref
        assert not pending
        self.check_created()
        due = {(timer.due_ms, int(number)) for number, timer in self.timers.items() if not timer.waking}
        assert due <= set(self.kernel._services.timers._heap)
        for number, timer in self.timers.items():
            if timer.waking and self.promises[timer.waking].state is PromiseState.UNRESOLVED:
                assert schema.timer_waiter(number) in self.promises[timer.waking].subscribers
        assert not self.kernel._promises._calls
