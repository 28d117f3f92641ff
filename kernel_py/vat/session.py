"""A vat's end of the kernel-vat protocol: texts in, texts out.

Owns the numbering of deliveries. A realm makes one `VatSession`, sends `hello` on every new port, passes each text
that comes to `receive`, and sends what that returns. Sans-IO: no port, clock or thread here.

A session goes through these states:

    FRESH --start--> REPLAYING --go--> READY --deliver--> READY
    REPLAYING --upgrade--> REPLAYING, READY --upgrade--> READY: the vat's next incarnation
    READY --snapshot--> REPLAYING, REPLAYING --snapshot--> REPLAYING: the heap may be looked at
    REPLAYING --look--> DETACHED, READY --look--> DETACHED: nothing but "look" is taken any more
    any state --failure--> FAILED, in which everything new is answered with the same failure

Invariants:
    * `receive` never raises, whatever the text.
    * A delivery is carried out once: the same text again gets the same answer again, as long as the kernel may not
      have the answer.
    * After "snapshot" the session is the same whether it went on, or was restored from what was taken then.
    * After a difference between a replay and its record nothing more is carried out.

Source: `kernel_py.wire.protocol`.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum, auto
from typing import Any, Protocol

from kernel_py.vat.collector import Collect, collect_heap
from kernel_py.vat.determinism import Ambient
from kernel_py.vat.store import VatStore
from kernel_py.vat.supervisor import Supervisor
from kernel_py.wire import canonical
from kernel_py.wire.errors import MarshalError, cut_middle
from kernel_py.wire.limits import DEFAULT_LIMITS, Limits
from kernel_py.wire.outcome import Outcome
from kernel_py.wire.protocol import PROTOCOL_VERSION, TranscriptEntry, VatSpec, parse_transcript_entry


class Phase(Enum):
    FRESH = auto()
    REPLAYING = auto()
    READY = auto()
    DETACHED = auto()
    FAILED = auto()


class Vat(Protocol):
    """What a session talks to: a vat of Python, or of another kind."""

    def deliver(self, number: int, time_ms: int, delivery: object) -> Outcome:
        """Carry out one delivery. What it raises is the host's fault, and ends the session."""

    def checkpoint(self, delivered: int) -> None:
        """The heap is to be taken, as it is after delivery `delivered`."""

    def resume(self, delivered: int) -> None:
        """The heap goes on from that `checkpoint`, or is back there. May come again before the next delivery.

        Raises:
            StoreError: what the heap does not hold is not as it was then.
        """

    def succeed(self, spec: VatSpec) -> Vat:
        """Be the vat's next incarnation, with its store and no heap; not started yet. This one is not used any more."""

    def look(self, expression: str | None) -> dict[str, Any]:
        """Evaluate an expression, or list what there is, for people; see `kernel_py.vat.looking`.

        The vat is not what its record says any more, and is not delivered to afterwards.
        """

    def close(self) -> None:
        """Let go of everything."""


class VatSession:
    """One realm's conversation with the kernel.

    Args:
        make_store: opens the vat store; called once, at "start".
        ambient: the clock and entropy of the realm, from `install_determinism` where the realm is the vat's
            own; by default one that only this vat's code sees.
        memory_bytes: tells the realm's memory, for people; None if it is not known.
        collect: lets Python's collector take what it can; tests control it.
        base: the image that the heap's snapshots are told from; "" where whoever made this session takes none.
        make_vat: makes the vat of another kind than Python, at "start"; it has its own store, clock and entropy.
    """

    def __init__(
        self,
        *,
        make_store: Callable[[], VatStore] = VatStore,
        ambient: Ambient | None = None,
        memory_bytes: Callable[[], int | None] = lambda: None,
        collect: Collect = collect_heap,
        make_vat: Callable[[VatSpec], Vat] | None = None,
        base: str = "",
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        self._make_store = make_store
        self._ambient = Ambient() if ambient is None else ambient
        self._memory_bytes = memory_bytes
        self._collect = collect
        self._make_vat = make_vat or self._make_python_vat
        self._base = base
        self._limits = limits
        self._phase = Phase.FRESH
        self._failure = ""
        self._spec: VatSpec | None = None
        self._supervisor: Vat | None = None
        self._delivered = 0
        self._marked = 0  # what was delivered at the last "snapshot"
        # By number, the deliveries whose answers the kernel may not have, and the answers.
        self._answered: dict[int, tuple[str, str]] = {}

    def hello(self) -> str:
        """The first text for a new port."""
        spec = self._spec
        fields: dict[str, object] = {
            "protocol": PROTOCOL_VERSION,
            "vat": None if spec is None else spec.vat,
            "incarnation": 0 if spec is None else spec.incarnation,
            "delivered": self._delivered,
        }
        if self._marked:
            fields["marked"] = self._marked
        if self._base:
            fields["base"] = self._base
        return canonical.dump(["hello", fields])

    def receive(self, text: str) -> list[str]:
        """Take one text from the kernel; the texts to send back, in order."""
        if self._phase is Phase.FAILED:
            answers = [done for known, done in self._answered.values() if known == text]
            return answers or [canonical.dump(["failed", self._failure])]
        try:
            match canonical.load(text):
                case ["look", None | str() as expression]:
                    return self._look(expression)
                case [str(kind), *_] if self._phase is Phase.DETACHED:
                    return self._fail(f"this realm was looked at, and can never be the living vat: it takes no {kind}")
                case ["deliver", int(number), int(time_ms), delivery]:
                    return self._deliver(number, time_ms, delivery, text)
                case ["start", spec]:
                    return self._start(spec)
                case ["upgrade", spec]:
                    return self._upgrade(spec)
                case ["replay", [*entries]]:
                    return self._replay(entries)
                case ["snapshot", _]:
                    return self._collect_all()
                case ["go", int(delivered)]:
                    return self._go(delivered)
                case _:
                    return self._fail(f"unknown message from the kernel: {text!r:.200}")
        except Exception as error:  # noqa: BLE001 (a realm that died of a text would not say why)
            return self._fail(f"cannot take this text: {type(error).__name__}: {error}: {text!r:.200}")

    def close(self) -> None:
        """Let go of the vat. Only for hosts in which one process has many vats."""
        supervisor, self._supervisor = self._supervisor, None
        if supervisor is not None:
            supervisor.close()

    # Messages ----------------------------------------------------------------------------------

    def _start(self, value: object) -> list[str]:
        if self._phase is not Phase.FRESH:
            return self._fail("this realm is a vat already; a new vat needs a new realm")
        spec = parse_spec(value)
        self._spec = spec
        self._supervisor = self._make_vat(spec)
        self._phase = Phase.REPLAYING
        return []

    def _make_python_vat(self, spec: VatSpec) -> Vat:
        self._ambient.start(spec.seed, spec.vat)
        return Supervisor(spec, self._make_store(), self._ambient, limits=self._limits, collect=self._collect)

    def _upgrade(self, value: object) -> list[str]:
        if self._supervisor is None or self._spec is None:
            return self._fail("an upgrade came before start")
        spec = parse_spec(value)
        if spec.vat != self._spec.vat or spec.incarnation != self._spec.incarnation + 1:
            return self._fail(f"incarnation {spec.incarnation} of {spec.vat} cannot follow {self._spec.incarnation}")
        self._spec = spec
        self._supervisor = self._supervisor.succeed(spec)
        return []

    def _replay(self, entries: list[object]) -> list[str]:
        if self._phase is not Phase.REPLAYING:
            return self._fail("a replay comes after start and before go")
        for value in entries:
            try:
                entry = parse_transcript_entry(value)
            except MarshalError as error:
                return self._fail(f"after delivery {self._delivered}: {error}")
            if entry.number != self._delivered + 1:
                return self._fail(
                    f"replay of delivery {entry.number} after {self._delivered}: the transcript has a gap"
                )
            outcome = self._carry_out(entry.number, entry.time_ms, entry.delivery)
            if outcome.poison is not None:
                return self._fail(f"replay of delivery {entry.number} was stopped: {outcome.poison}")
            difference = describe_difference(entry, outcome)
            if difference is not None:
                return self._fail(f"replay of delivery {entry.number} differs from the record. {difference}")
        return []

    def _collect_all(self) -> list[str]:
        """Be as small as can be. The kernel has every answer that it can have: it need not be given again."""
        if self._supervisor is None:
            return self._fail("a snapshot came before start")
        self._phase = Phase.REPLAYING
        self._marked = self._delivered
        self._answered.clear()
        self._collect()
        self._supervisor.checkpoint(self._delivered)
        return []

    def _look(self, expression: str | None) -> list[str]:
        if self._supervisor is None:
            return self._fail("look came before start")
        self._phase = Phase.DETACHED
        return [canonical.dump(["seen", self._supervisor.look(expression)])]

    def _go(self, delivered: int) -> list[str]:
        if self._supervisor is None:
            return self._fail("go came before start")
        if delivered != self._delivered:
            return self._fail(f"the kernel counts {delivered} deliveries, the replay had {self._delivered}")
        if 0 < delivered == self._marked:
            self._supervisor.resume(delivered)
        self._phase = Phase.READY
        return [canonical.dump(["ready", delivered])]

    def _deliver(self, number: int, time_ms: int, delivery: object, text: str) -> list[str]:
        if self._phase is not Phase.READY:
            return self._fail("a delivery came before go")
        answered = self._answered.get(number)
        if answered is not None and answered[0] == text:
            return [answered[1]]
        if number <= self._delivered:
            return self._fail(
                f"the vat is ahead of the kernel: it was given another delivery {number} after {self._delivered}"
            )
        if number > self._delivered + 1:
            return self._fail(f"the vat is behind the kernel: it was given delivery {number} after {self._delivered}")
        outcome = self._carry_out(number, time_ms, delivery)
        status = ["ok", None] if outcome.error is None else ["error", outcome.error]
        if outcome.poison is not None:
            status = ["poison", outcome.poison]
            self._fail(f"delivery {number} was stopped in the middle; this realm is of no use any more")
        usage: dict[str, object] = {"memory_bytes": self._memory_bytes(), "console": outcome.console}
        if outcome.meter is not None:
            usage["meter"] = list(outcome.meter)
        done = canonical.dump(["done", number, status, outcome.syscalls, usage])
        self._answered[number] = text, done
        self._answered.pop(number - self._limits.deliveries_inflight_max, None)
        return [done]

    def _carry_out(self, number: int, time_ms: int, delivery: object) -> Outcome:
        assert self._supervisor is not None
        self._delivered = number
        return self._supervisor.deliver(number, time_ms, delivery)

    def _fail(self, reason: str) -> list[str]:
        if self._phase is not Phase.FAILED:
            self._phase = Phase.FAILED
            name = "a fresh realm" if self._spec is None else f"vat {self._spec.vat} ({self._spec.name})"
            self._failure = cut_middle(f"{name}: {reason}", self._limits.error_chars_max)
        return [canonical.dump(["failed", self._failure])]


def parse_spec(value: object) -> VatSpec:
    """Parse the payload of "start".

    Raises:
        MarshalError: it is not a vat's specification, or of another version of the protocol.
    """
    match value:
        case {
            "protocol": 1,
            "vat": str(vat),
            "incarnation": int(incarnation),
            "name": str(name),
            "seed": str(seed),
            "main": str(main),
            "files": dict(files),
        } if all(isinstance(text, str) for text in files.values()):
            return VatSpec(vat, incarnation, name, seed, main, files)
        case _:
            raise MarshalError(f"not the specification of a vat, of protocol {PROTOCOL_VERSION}: {value!r:.200}")


def describe_difference(entry: TranscriptEntry, outcome: Outcome) -> str | None:
    """Say where a replayed delivery differs from its record, or None if its syscalls are the same."""
    expected: list[Any] = entry.syscalls
    actual = outcome.syscalls
    for index in range(max(len(expected), len(actual))):
        want = canonical.dump_sorted(expected[index]) if index < len(expected) else "no further syscall"
        have = canonical.dump_sorted(actual[index]) if index < len(actual) else "no further syscall"
        if want != have:
            error = f" The replay ended with: {outcome.error:.2000}" if outcome.error else ""
            return f"Syscall {index + 1}: expected {want:.1000}, actual {have:.1000}.{error}"
    return None
