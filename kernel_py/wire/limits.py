"""Every limit of the system, in one record.

Each field names its unit last and says why it is there. Hosts pass a `Limits` to the kernel and
to each supervisor; nothing else hard-codes a bound.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on what one party can make another hold or do."""

    body_chars_max: int = 10_000_000
    """Sum of capdata body lengths in one syscall (SwingSet's figure): one message is one IndexedDB value."""
    slots_max: int = 10_000
    """References in one syscall (SwingSet's figure): each costs the kernel a c-list entry."""
    batch_syscalls_max: int = 100_000
    """Syscalls in one delivery's batch: it is applied in a single transaction, held in memory."""
    batch_chars_max: int = 50_000_000
    """Length of one reply's text: it is parsed in one piece in the kernel's thread."""
    heap_difference_bytes_max: int = 1_000_000_000
    """What differs in a heap from its image, in bytes, if it comes through a pipe: it is held in memory meanwhile."""
    passable_depth_max: int = 200
    """Nesting of a passable: below Python's and V8's recursion limits with room for frames."""
    bigint_digits_max: int = 20_000
    """Decimal digits of one integer: converting it takes time quadratic in them, some milliseconds at this figure."""
    key_chars_max: int = 220
    """Length of a collection's key as text (SwingSet's figure): keys are indexed, and stand in the keys of others."""
    method_chars_max: int = 200
    """Length of a method name."""
    error_chars_max: int = 20_000
    """Length of an error message or traceback kept or forwarded; longer ones are cut in the middle."""
    console_chars_max: int = 100_000
    """Text printed by one delivery that reaches the log; the rest is cut."""
    notify_batch_max: int = 1_000
    """Resolutions in one notify delivery: keeps a crank short while amortising its cost."""
    vat_name_chars_max: int = 100
    """Length of a vat's or cluster's name: names are shown, and stand in logs."""
    cluster_vats_max: int = 1_000
    """Vats in one cluster config: a launch is one transaction."""
    source_chars_max: int = 10_000_000
    """Length of all source files of one cluster."""
    request_chars_max: int = 20_000_000
    """Length of one control request."""
    request_key_chars_max: int = 100
    """Length of an idempotency key."""
    request_results_max: int = 10_000
    """Answers kept for clients that have not acknowledged them; the oldest are dropped beyond it."""
    deliveries_inflight_max: int = 32
    """Deliveries that one vat may be given before it has replied to the first: it need not wait for the kernel."""
    inflight_body_chars_max: int = 10_000
    """Length of the body of a message that shares the way with others; longer ones travel alone."""
    reap_deliveries: int = 200
    """Deliveries after which a vat is asked for its garbage, unless its cluster file says otherwise: often enough to
    keep heaps small, and seldom noticed."""
    collect_refs_max: int = 1_000
    """References in one delivery that drops or retires: keeps a crank short."""
    cleanup_refs_max: int = 1_000
    """References of a terminated vat that one transaction removes: a large vat's end holds up nobody."""
    promise_cycle_max: int = 10_000
    """Settled promises looked at in the search for one cycle; larger ones are left to leak."""
    results_held_max: int = 1_000
    """Answers to clients whose objects are kept for them: a person may want to send to what was shown a while ago."""
    created_vats_max: int = 1_000
    """Living vats that were asked for through one vat_admin: each is a realm."""
    service_pending_max: int = 10_000
    """Timers or calls made through one service object that are not finished: each is a row of the kernel's state."""
    service_gas_max: int = 1_000_000_000
    """Gas that one delivery may spend on services of the host: what it is worth is the services' to say."""
    timer_seconds_max: int = 1_000_000_000
    """Length of a delay or interval, some 31 years: in milliseconds it is exact in a float."""
    random_bytes_max: int = 65_536
    """Bytes that one call of the random service gives, as of crypto.getRandomValues."""
    fetch_body_bytes_max: int = 4_000_000
    """Length of what is fetched: as capdata, two characters a byte, it must be within `body_chars_max`."""
    fetch_headers_bytes_max: int = 65_536
    """Length of all headers of one response."""
    fetch_redirects_max: int = 10
    """Redirects followed for one request."""
    fetch_seconds_max: int = 60
    """Time for one request with its redirects: the host is kept alive so long."""
    vats_online_max: int = 50
    """Vats in memory at a time (SwingSet's figure): a realm of Python takes some 50 MiB."""
    vats_preloaded_max: int = 0
    """Vats that are brought into memory after a start because they were there before; at most half of those that may
    be. None where a host is started for a single request."""
    vats_memory_bytes_max: int = 4_000_000_000
    """Memory of all vats by their own account, beyond which those at rest are sent away."""
    vat_idle_seconds_max: int = 3_600
    """Time without a delivery after which a vat is sent away."""
    vat_stuck_seconds: int = 20
    """Time without a reply after which a busy vat's place is given to others: it may hang for ever."""
    vat_turn_deliveries: int = 100
    """Deliveries after which a vat that is never at rest gives its place up, if others wait for one."""
    snapshot_first_deliveries: int = 3
    """Deliveries of an incarnation after which its first snapshot is taken (SwingSet's figure): what starting cost is
    not done again."""
    snapshot_deliveries: int = 200
    """Deliveries between two snapshots (SwingSet's figure): what a vat that comes back has to do again, at most."""
    snapshots_kept: int = 2
    """Snapshots of one vat: the newest, and the one before for when that is damaged. They share most chunks."""
    travels_max: int = 4
    """Detached realms, in which heaps are as they once were: each takes the memory of a vat, some 30 MB."""
    travel_idle_s: int = 600
    """After so long without being looked at, a detached realm is ended."""
    travel_s_max: int = 300
    """Time to bring a heap back, or to look at it: whoever asks waits."""
    look_chars_max: int = 20_000
    """Length of one value that is shown of a heap, and of what is printed meanwhile."""
    look_row_chars_max: int = 500
    """Length of a value in a list of what is in a heap."""
    look_rows_max: int = 5_000
    """Rows in each such list: they are drawn by a panel."""
    snapshot_pages_chars_max: int = 2_000_000
    """Length of a snapshot's list of pages: a heap of 4 GiB in pieces of 256 KiB has 1.2 million."""
    storage_reserve_bytes: int = 32_000_000
    """Room in a browser's storage below which the kernel takes no new work: enough to finish what there is, and to
    terminate."""
    delivery_attempts_max: int = 3
    """Times a delivery is tried when its worker dies under it (a host fault), before it is rejected."""


DEFAULT_LIMITS = Limits()
