"""The store's schema: every table, its key, its value, and the codec between value and text.

Owns the names. A store key is ``table + "." + row``; a row holds no ".". Tables of one vat or one
promise are named after it (``v3.clist``), and share the codec of their family (``clist``).

Source: after SwingSet's kernelKeeper (schema v3), with per-vat queues instead of one run queue.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple

from kernel_py.wire import canonical
from kernel_py.wire.errors import KernelBug, StoreError

SCHEMA_VERSION = 3

IMPORTING = '"importing"'
"""In place of the version while an archive is being imported: a store that no kernel may run on."""

# --- values -------------------------------------------------------------------------------------
# Tuples, not dataclasses: they are made several times per crank, and their JSON is the list of fields.


class KernelObject(NamedTuple):
    """An object. `owner` is the exporting vat, a service (`service_owner`), or None once that is gone (an orphan)."""

    owner: str | None
    reachable: int
    recognizable: int
    iface: str


class PromiseState(StrEnum):
    UNRESOLVED = "unresolved"
    FULFILLED = "fulfilled"
    REJECTED = "rejected"


class KernelPromise(NamedTuple):
    """A promise.

    Attributes:
        refs: c-list entries, queue mentions, mentions in other promises' data, and the kernel's own holds.
        decider: the vat that may resolve it; None while it is in a queue, or the kernel's.
        subscribers: vats to notify, and kernel waiters (requests, timers, clusters), sorted.
        queue_head: first index in its queue table; `queue_tail` is one past the last.
        body, slots: the resolution; "" and () while unresolved.
    """

    state: PromiseState
    refs: int
    decider: str | None
    subscribers: tuple[str, ...]
    queue_head: int
    queue_tail: int
    body: str
    slots: tuple[str, ...]


class QueuedMessage(NamedTuple):
    """A message on its way, or a call that a host's service has not answered. Holds target, result and every slot."""

    target: str
    body: str
    slots: tuple[str, ...]
    result: str | None


class ItemKind(StrEnum):
    MESSAGE = "message"
    NOTIFY = "notify"
    START = "start"
    COLLECT = "collect"
    REAP = "reap"
    UPGRADE = "upgrade"
    PIPELINED = "pipelined"
    OPTIONS = "options"


class QueueItem(NamedTuple):
    """One entry of a vat's queue.

    Attributes:
        sequence: kernel-wide order of acceptance; dispatch takes the lowest whose vat is idle.
        payload: `QueuedMessage` for MESSAGE, kpid for NOTIFY, ``(body, slots)`` for START, the options that change for
            OPTIONS, else None. COLLECT stands for the rows of the vat's collect table, REAP for bringOutYourDead,
            UPGRADE for the vat's row in `upgrades`. PIPELINED, with a kpid, stands for the first message that waits
            for that promise, if the vat decides it when the item's turn comes.
    """

    sequence: int
    kind: ItemKind
    payload: Any


class ClistEntry(NamedTuple):
    """A vat's name for a kernel object or promise. `is_reachable` is the R flag of the reference, 2.1."""

    vref: str
    is_reachable: bool


class VatCounters(NamedTuple):
    """What changes in a vat with every crank.

    Attributes:
        delivered: number of the last completed delivery; 0 before the first.
        dispatched: number of the last delivery that was begun; those after `delivered` are in flight.
        next_object, next_promise: next import ids.
        queue_head: first index of its queue table; `queue_tail` is one past the last.
        dirt: deliveries completed since the last REAP was queued, those apart in which none of the vat's code runs.
        chain: hash of the last entry of the transcript, and so of all before it; "" before the first.
    """

    delivered: int
    dispatched: int
    next_object: int
    next_promise: int
    queue_head: int
    queue_tail: int
    dirt: int
    chain: str


class VatState(StrEnum):
    STARTING = "starting"
    RUNNING = "running"
    PAUSED = "paused"
    TERMINATED = "terminated"


class Vat(NamedTuple):
    """A vat, apart from its counters.

    Attributes:
        incarnation: how often it was upgraded.
        sources: of each incarnation, the number of its first delivery, the bundle with its files, and the path of the
            one that defines ``build_root_object``.
        reason: why it was terminated.
        is_critical: its cluster ends with it.
        command: what to run, of kind "command".
        reap_interval: deliveries after which it is asked for its garbage; 0 for never.
        is_pipelining: it gets messages to promises that it decides at once.
        hashed_from: the first delivery whose transcript entry is hashed; later than 1 in a store of an earlier version.
    """

    name: str
    cluster: str
    kind: str
    state: VatState
    incarnation: int
    sources: tuple[tuple[int, str, str], ...]
    root: str
    reason: str
    is_critical: bool
    command: tuple[str, ...] = ()
    reap_interval: int = 0
    is_pipelining: bool = False
    hashed_from: int = 1


class CreatedVat(NamedTuple):
    """A vat that another one asked for, as far as its admin node has to do with it.

    Attributes:
        grant: the service object that it was asked of. Not held.
        result: the promise for what `create` gives, held until the vat has started; then "".
        admin: its admin node; "" before the start, and once nobody has it any more. Not held.
        waiters: promises for how the vat ends, held.
        is_failure, body, slots: how it ended; `body` is "" as long as it lives. Slots are held.
    """

    grant: str
    result: str
    admin: str = ""
    waiters: tuple[str, ...] = ()
    is_failure: bool = False
    body: str = ""
    slots: tuple[str, ...] = ()


class Mark(NamedTuple):
    """Where a vat's heap was last looked at: what is replayed does the same there.

    Attributes:
        delivered: the number of its last delivery then.
        base: the image that the realm had started from.
        digest: of the heap, "" if it was not taken.
        kept: numbers of the deliveries after which there is a snapshot, in order.
    """

    delivered: int
    base: str
    digest: str
    kept: tuple[int, ...]


NO_MARK = Mark(0, "", "", ())


class Snapshot(NamedTuple):
    """A vat's heap after a delivery, as its differences from a base image.

    Attributes:
        delivered, incarnation: the number of the last delivery in it, and of whose life it is.
        base: the image; realms that start from another cannot use it.
        pages: the pieces that differ, as ``place:chunk``, separated by commas; see `kernel_py.wire.snapshots`. Text,
            because there are many, and they are seldom looked at.
        digest: of base, size and pages: two machines with the same heap have the same.
        chain: hash of the transcript's entry `delivered`.
    """

    delivered: int
    incarnation: int
    base: str
    memory_bytes: int
    pages: str
    digest: str
    chain: str


class Upgrade(NamedTuple):
    """An upgrade that was asked for.

    Attributes:
        request: key of the request to answer, or `awaiting` of the promise to settle, which is held; "" for nobody.
        bundle, main: the new source; a use of the bundle is counted.
        body, slots: capdata of the parameters; a reference on every slot is held.
        message: told to those who wait for what the old incarnation owed.
    """

    request: str
    bundle: str
    main: str
    body: str
    slots: tuple[str, ...]
    message: str


class Inflight(NamedTuple):
    """A delivery that a vat was given and has not replied to.

    Attributes:
        text: the delivery as JSON, in the vat's references.
        attempts: how often it was started, counting host faults.
        kind, sequence: of the queue item it was made from.
        result: kpid that a message's answer goes to, or None.
        imports: krefs that this dispatch added to the vat's c-list, to be undone if the vat is rewound.
        reached: krefs that the vat had dropped, and that this dispatch told it of anew; likewise.
        next_object, next_promise: import ids from which on the vat has learned of them in later deliveries only.
        passing: "vref kref" of promises that the vat learns of, and forgets, in this delivery.
    """

    number: int
    time_ms: int
    text: str
    attempts: int
    kind: ItemKind
    sequence: int
    result: str | None
    imports: tuple[str, ...]
    reached: tuple[str, ...]
    next_object: int
    next_promise: int
    passing: tuple[str, ...] = ()


class ClusterState(StrEnum):
    LAUNCHING = "launching"
    RUNNING = "running"
    TERMINATED = "terminated"


class Cluster(NamedTuple):
    """Vats launched together.

    Attributes:
        vats: (name, vat id) in the config's order.
        bootstrap: name of the bootstrap vat; `result` is the kpid of its answer, or "".
        request: key of the launch request while it is unanswered, else "".
        bundle: the cluster's files.
        config: the cluster file, as canonical JSON.
        reason: why it was terminated.
    """

    name: str
    state: ClusterState
    vats: tuple[tuple[str, str], ...]
    bootstrap: str
    result: str
    request: str
    bundle: str
    config: str
    reason: str


class ServiceObject(NamedTuple):
    """An object that a kernel service answers for.

    Attributes:
        service: the service's name.
        kind: `GRANT` for what a cluster file asked for; else one of the service's own kinds.
        cluster: whose it is; it ends with it.
        pending: timers or calls made through it that are not finished.
        data: a grant's config; else what the kind says. JSON.
    """

    service: str
    kind: str
    cluster: str
    pending: int
    data: Any


class Timer(NamedTuple):
    """Something to be done at a time.

    Attributes:
        due_ms: when.
        interval_ms: of a repeat; 0 for a delay.
        target: the promise that a delay settles, or the handler that a repeat wakes. Held.
        grant: the service object that it was asked of. Not held.
        waking: promise for the handler's answer, held while it is awaited; else "". Nothing is due meanwhile.
    """

    due_ms: int
    interval_ms: int
    target: str
    grant: str
    waking: str


class Gas(NamedTuple):
    """What a living vat has spent on services: in all, and in the last crank in which it did, by its number."""

    spent: int
    crank: int
    in_crank: int


class Request(NamedTuple):
    """A control request that was accepted. `response` is "" until it is answered; `promise` what it waits for."""

    sequence: int
    method: str
    promise: str
    response: str


# --- tables -------------------------------------------------------------------------------------

KERNEL = "kernel"
OBJECTS = "objects"
PROMISES = "promises"
VATS = "vats"
COUNTERS = "counters"
INFLIGHT = "inflight"
LEFTOVERS = "leftovers"
UPGRADES = "upgrades"
MARKS = "marks"
SNAPSHOTS = "snapshots"
CHUNKS = "chunks"
BUNDLES = "bundles"
PINS = "pins"
HELD = "held"
REVOKED = "revoked"
CLUSTERS = "clusters"
REQUESTS = "requests"
SERVICES = "services"
CREATED = "created"
TIMERS = "timers"
CALLS = "calls"
GAS = "gas"

TABLES = (
    KERNEL,
    OBJECTS,
    PROMISES,
    VATS,
    COUNTERS,
    INFLIGHT,
    LEFTOVERS,
    UPGRADES,
    MARKS,
    SNAPSHOTS,
    CHUNKS,
    BUNDLES,
    PINS,
    HELD,
    REVOKED,
    CLUSTERS,
    REQUESTS,
    SERVICES,
    CREATED,
    TIMERS,
    CALLS,
    GAS,
)
"""The kernel's own tables; the others belong to one vat or promise."""

NEXT_OBJECT = "nextObject"
NEXT_PROMISE = "nextPromise"
NEXT_VAT = "nextVat"
NEXT_CLUSTER = "nextCluster"
NEXT_SEQUENCE = "nextSequence"
NEXT_HELD = "nextHeld"
NEXT_TIMER = "nextTimer"
NEXT_CALL = "nextCall"
NEXT_RANDOM = "nextRandom"
CRANKS = "cranks"
VERSION = "schema"
SEED = "seed"
RECENT = "recent"

FIRST_NUMBERS = {
    NEXT_OBJECT: 20,
    NEXT_PROMISE: 40,
    NEXT_VAT: 1,
    NEXT_CLUSTER: 1,
    NEXT_SEQUENCE: 1,
    NEXT_HELD: 1,
    NEXT_TIMER: 1,
    NEXT_CALL: 1,
    NEXT_RANDOM: 1,
    CRANKS: 0,
}
"""First ids, after SwingSet."""

FIRST_IMPORT_OBJECT = 50
FIRST_IMPORT_PROMISE = 60


def clist_table(vat: str) -> str:
    """Rows are krefs (value `ClistEntry`) and vrefs (value kref)."""
    return vat + ".clist"


def inflight_row(vat: str, number: int) -> str:
    """The row of a vat's delivery in the table of those in flight."""
    return f"{vat}/{number}"


def snapshot_row(vat: str, delivered: int) -> str:
    """The row of the snapshot that was taken of a vat after a delivery."""
    return f"{vat}/{delivered}"


def vat_queue_table(vat: str) -> str:
    """Rows are indices from the vat's `queue_head` up."""
    return vat + ".queue"


def collect_table(vat: str) -> str:
    """Rows are krefs that the vat may have to be told to drop or retire; a COLLECT item waits in its queue."""
    return vat + ".collect"


def promise_queue_table(kpid: str) -> str:
    """Rows are indices from the promise's `queue_head` up; values are `QueuedMessage`."""
    return kpid + ".messages"


GRANT = "grant"
"""Kind of the service objects that a cluster was granted."""

_SERVICE_OWNER = "service."


def service_owner(service: str) -> str:
    """The owner of a service's objects."""
    return _SERVICE_OWNER + service


def is_service(owner: str | None) -> bool:
    """Whether an object's owner is a service; otherwise it is a vat, or gone."""
    return owner is not None and owner.startswith(_SERVICE_OWNER)


_REQUEST_WAITER = "request."
_TIMER_WAITER = "timer."


def request_waiter(key: str) -> str:
    """The subscriber name under which a control request waits for a promise."""
    return _REQUEST_WAITER + key


def find_request_key(subscriber: str) -> str | None:
    """The request key, if the subscriber is a request's."""
    return subscriber[len(_REQUEST_WAITER) :] if subscriber.startswith(_REQUEST_WAITER) else None


def timer_waiter(timer: str) -> str:
    """The subscriber name under which a repeat waits for its handler's answer."""
    return _TIMER_WAITER + timer


def find_timer(subscriber: str) -> str | None:
    """The timer, if the subscriber is one."""
    return subscriber[len(_TIMER_WAITER) :] if subscriber.startswith(_TIMER_WAITER) else None


_AWAITING = "promise."


def awaiting(kpid: str) -> str:
    """In place of a request's key: what answers is to settle a promise."""
    return _AWAITING + kpid


def find_awaiting(request: str) -> str | None:
    """The promise, if it is one that is to be settled."""
    return request[len(_AWAITING) :] if request.startswith(_AWAITING) else None


def is_cluster(subscriber: str) -> bool:
    """Whether the subscriber is a cluster that waits for its bootstrap; otherwise it is a vat, a request or a timer."""
    return subscriber[0] == "c"


# --- codecs -------------------------------------------------------------------------------------


def _slots(value: Any) -> tuple[str, ...]:
    return tuple(value)


def _decode_object(value: Any) -> KernelObject:
    return KernelObject(*value)


def _decode_promise(value: Any) -> KernelPromise:
    state, refs, decider, subscribers, head, tail, body, slots = value
    return KernelPromise(PromiseState(state), refs, decider, _slots(subscribers), head, tail, body, _slots(slots))


def _decode_message(value: Any) -> QueuedMessage:
    target, body, slots, result = value
    return QueuedMessage(target, body, _slots(slots), result)


def _decode_item(value: Any) -> QueueItem:
    sequence, kind_text, payload = value
    kind = ItemKind(kind_text)
    match kind:
        case ItemKind.MESSAGE:
            payload = _decode_message(payload)
        case ItemKind.START:
            payload = (payload[0], _slots(payload[1]))
        case _:
            pass
    return QueueItem(sequence, kind, payload)


def _encode_clist(value: Any) -> str:
    """JSON text; references need no escapes, and most of the rows of a crank are these."""
    if isinstance(value, ClistEntry):
        return f'"{"R" if value.is_reachable else "_"} {value.vref}"'
    return f'"{value}"'


def _decode_clist(value: Any) -> Any:
    flag, _, vref = value.partition(" ")
    return ClistEntry(vref, flag == "R") if vref else value


def _decode_vat(value: Any) -> Vat:
    vat = Vat(*value)
    sources = tuple((first, bundle, main) for first, bundle, main in vat.sources)
    return vat._replace(state=VatState(vat.state), sources=sources, command=tuple(vat.command))


def _decode_upgrade(value: Any) -> Upgrade:
    upgrade = Upgrade(*value)
    return upgrade._replace(slots=_slots(upgrade.slots))


def _decode_created(value: Any) -> CreatedVat:
    created = CreatedVat(*value)
    return created._replace(waiters=_slots(created.waiters), slots=_slots(created.slots))


def _decode_inflight(value: Any) -> Inflight:
    record = Inflight(*value)
    return record._replace(
        kind=ItemKind(record.kind),
        imports=_slots(record.imports),
        reached=_slots(record.reached),
        passing=_slots(record.passing),
    )


def _decode_cluster(value: Any) -> Cluster:
    cluster = Cluster(*value)
    return cluster._replace(state=ClusterState(cluster.state), vats=tuple((name, vat) for name, vat in cluster.vats))


def _decode_mark(value: Any) -> Mark:
    mark = Mark(*value)
    return mark._replace(kept=tuple(mark.kept))


def _same(value: Any) -> Any:
    return value


@dataclass(frozen=True, slots=True)
class Family:
    """How the values of one family of tables become JSON text and back, and what the documentation says of it.

    Attributes:
        decode: from parsed JSON.
        encode: to JSON text.
    """

    row: str
    decode: Callable[[Any], Any]
    encode: Callable[[Any], str] = canonical.dump


FAMILIES: dict[str, Family] = {
    KERNEL: Family("name of a counter or setting", _same),
    OBJECTS: Family("kref", _decode_object),
    PROMISES: Family("kref", _decode_promise),
    "messages": Family("index", _decode_message),
    VATS: Family("vat", _decode_vat),
    COUNTERS: Family("vat", lambda value: VatCounters(*value)),
    INFLIGHT: Family("vat/number", _decode_inflight),
    "clist": Family("kref or vref", _decode_clist, _encode_clist),
    "queue": Family("index", _decode_item),
    "collect": Family("kref", _same),
    LEFTOVERS: Family("terminated vat that still has a c-list", _same),
    UPGRADES: Family("vat", _decode_upgrade),
    MARKS: Family("vat", _decode_mark),
    SNAPSHOTS: Family("vat/number", lambda value: Snapshot(*value)),
    CHUNKS: Family("chunk of a heap; the number of snapshots that need it", _same),
    BUNDLES: Family("bundle; its number of users", _same),
    HELD: Family("number of an answer to a client; its promise", _same),
    PINS: Family("kref that is kept whoever holds it", _same),
    REVOKED: Family("kref that nobody may send to any more", _same),
    CLUSTERS: Family("cluster", _decode_cluster),
    REQUESTS: Family("request key", lambda value: Request(*value)),
    SERVICES: Family("kref", lambda value: ServiceObject(*value)),
    CREATED: Family("vat that another one asked for", _decode_created),
    TIMERS: Family("timer number", lambda value: Timer(*value)),
    CALLS: Family("call number", _decode_message),
    GAS: Family("vat", lambda value: Gas(*value)),
}

_TABLE = re.compile(r"[a-z]+|v[0-9]+\.(?:clist|queue|collect)|kp[0-9]+\.messages")


def _find_family(table: str) -> Family | None:
    return FAMILIES.get(table) or FAMILIES.get(table.rpartition(".")[2])


def store_key(table: str, row: str) -> str:
    return f"{table}.{row}"


def encode(table: str, value: Any) -> str:
    """The value's text in the store."""
    family = _find_family(table)
    if family is None:
        raise KernelBug(f"no such table: {table}")
    return family.encode(value)


def decode(key: str, text: str) -> tuple[str, str, Any]:
    """Split a store key and decode its value: ``(table, row, value)``.

    Raises:
        StoreError: the key or value is not of this schema.
    """
    table, _, row = key.rpartition(".")
    if not row or not _TABLE.fullmatch(table):
        raise StoreError(f"the store has an unknown key {key!r:.100}: it was written by another program or version")
    family = _find_family(table)
    if family is None:
        raise StoreError(f"the store has an unknown table {table!r:.100}: it was written by another version")
    try:
        return table, row, family.decode(canonical.load(text))
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise StoreError(
            f"the store's value at {key!r:.100} is corrupt: {error}; restore the store from an export"
        ) from error
