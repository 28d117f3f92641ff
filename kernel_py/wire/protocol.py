"""The kernel-vat protocol: JSON texts that cross one message port, pipe or function call.

Each text is one JSON array whose first element names the message. What crosses at once may be several texts,
one a line.

Kernel to vat:
    ["start", {"protocol", "vat", "incarnation", "name", "seed", "main", "files"}]
        Be this vat. Sent once, as the answer to a hello that names no vat.
    ["upgrade", spec]
        Be this vat's next incarnation; `spec` is as in "start", its incarnation one higher. The heap of
        the last one is discarded, its vat store kept. Between deliveries, or between replays; not answered.
        The next delivery is a startVat.
    ["replay", [entry, ...]]
        Re-execute transcript entries (`TranscriptEntry` texts) in order, after "start" and
        before "ready"; may come several times. Syscalls are compared with the record, not sent.
    ["go", delivered]
        The transcript is complete: `delivered` is the number of its last delivery. Answer "ready". May come again.
    ["snapshot", "take" | "check"]
        Collect garbage, for a look at the heap; between deliveries, or between replays. Afterwards the vat is as after
        a replay: more may be replayed, and "go" follows. What hands the heap over ("take"), or compares it ("check"),
        is around the vat, and not answered by it.
    ["look", expression | null]
        Evaluate a Python expression among the vat's globals, or list what there is; between deliveries, or between
        replays. Answer "seen". Afterwards the realm can never be the living vat: it takes nothing but "look".
    ["deliver", number, time_ms, delivery]
        Carry out a delivery; `number` is one more than that of the last. Several may come before the
        first is answered. Sent again with the very same text if the kernel does not know the
        outcome: answer with the same "done".

Vat to kernel:
    ["hello", {"protocol", "vat", "incarnation", "delivered", "marked", "base"}]
        First text on every new port. `vat` is null in a fresh realm. `marked` is the number of the last delivery at
        the last "snapshot"; absent if there was none. `base` is the image from which the heap's snapshots are told;
        absent where none can be taken.
    ["ready", delivered]
        All entries were replayed.
    ["done", number, ["ok", null] | ["error", text] | ["poison", text], [syscall, ...], usage]
        A delivery's outcome and its whole batch. `usage` is {"memory_bytes": int | null, "console": [text, ...]}, and
        of a metered vat "meter": [used, left]: units that this delivery has used, and those in the tank or null.
    ["digest", delivered, digest]
        Of the heap, at a "check".
    ["seen", {"value", "type", "error", "console"} | {"objects", "store", "left_out"}]
        What was asked for with "look"; see `kernel_py.vat.looking`.
    ["failed", text]
        The vat cannot go on: replay differed from the record, or it is ahead of the kernel.

Deliveries and syscalls are in `kernel_py.wire.deliveries` and `kernel_py.wire.syscalls`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from kernel_py.wire import canonical
from kernel_py.wire.errors import IllegalSyscall, MarshalError
from kernel_py.wire.limits import Limits

PROTOCOL_VERSION = 1

PACKAGES_PATH = "<packages>"
"""Among a vat's files: ``{vat's name: [folder, ...]}``, the folders of the packages that it may import. No other file
can have this path."""


METERS_PATH = "<meters>"
"""Among a vat's files: ``{vat's name or source file: meter or null}``, see `kernel_py.wire.meters`. No other file can
have this path."""


@dataclass(frozen=True, slots=True)
class VatSpec:
    """What a fresh realm needs to become a vat.

    Attributes:
        seed: the kernel's seed; random numbers derive from it, the vat and the delivery number.
        main: the path of the file in `files` that defines ``build_root_object``.
        files: source texts by path, such as ``{"bank.py": "..."}``; importable from `main`. Those of packages lie in
            folders of their own, and `PACKAGES_PATH` says whose they are.
    """

    vat: str
    incarnation: int
    name: str
    seed: str
    main: str
    files: dict[str, str]

    def to_json(self) -> dict[str, Any]:
        return {
            "protocol": PROTOCOL_VERSION,
            "vat": self.vat,
            "incarnation": self.incarnation,
            "name": self.name,
            "seed": self.seed,
            "main": self.main,
            "files": self.files,
        }


class Usage(NamedTuple):
    """What a delivery cost, as the realm reports it. Never believed beyond being shown."""

    memory_bytes: int | None = None
    console: tuple[str, ...] = ()
    meter: tuple[int, int | None] | None = None


class Done(NamedTuple):
    """A vat's reply.

    Attributes:
        error: why the vat cannot carry out the delivery, or None. It costs the vat its life.
        poison: why the delivery was stopped in the middle, by its meter or a trap, or None. The realm is of no use any
            more, and the vat goes on from before the delivery.
        syscalls: unparsed JSON.
    """

    number: int
    error: str | None
    syscalls: list[Any]
    usage: Usage
    poison: str | None = None


@dataclass(frozen=True, slots=True)
class Hello:
    vat: str | None
    incarnation: int
    delivered: int
    marked: int = 0
    base: str = ""


@dataclass(frozen=True, slots=True)
class Ready:
    delivered: int


@dataclass(frozen=True, slots=True)
class Digest:
    delivered: int
    digest: str


@dataclass(frozen=True, slots=True)
class Seen:
    """What a look has found; to be shown, not believed."""

    found: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Failed:
    error: str


VatText = Done | Hello | Ready | Digest | Seen | Failed


def dump_start(spec: VatSpec) -> str:
    return canonical.dump(["start", spec.to_json()])


def dump_upgrade(spec: VatSpec) -> str:
    return canonical.dump(["upgrade", spec.to_json()])


def dump_replay(entries: list[str]) -> str:
    """`entries` are `TranscriptEntry` texts. What the kernel has noted in them for itself stays behind."""
    return f'["replay",[{",".join(map(_strip_notes, entries))}]]'


def dump_go(delivered: int) -> str:
    return canonical.dump(["go", delivered])


def dump_snapshot(*, is_check: bool = False) -> str:
    return canonical.dump(["snapshot", "check" if is_check else "take"])


def dump_look(expression: str | None) -> str:
    return canonical.dump(["look", expression])


def dump_deliver(number: int, time_ms: int, delivery_text: str) -> str:
    """`delivery_text` is the delivery's JSON."""
    return f'["deliver",{number},{time_ms},{delivery_text}]'


def dump_transcript_entry(number: int, time_ms: int, delivery_text: str, syscalls_text: str, error: str | None) -> str:
    """One transcript entry: ``{"n", "t", "d": delivery, "sc": [syscall, ...], "r": error or null}``."""
    outcome = "null" if error is None else canonical.dump(error)
    return f'{{"n":{number},"t":{time_ms},"d":{delivery_text},"sc":{syscalls_text},"r":{outcome}}}'


def _strip_notes(entry: str) -> str:
    """The entry without the kernel's notes (`kernel_py.core.transcripts`)."""
    notes = _find_notes(entry)
    return entry if notes is None else entry[: notes.start()] + "}"


def find_mark(entry: str) -> tuple[str, str] | None:
    """Base and digest of the heap before the delivery of a stored entry, if it was looked at then."""
    notes = _find_notes(entry)
    if notes is None or notes["mark"] is None:
        return None
    base, digest = canonical.load(notes["mark"])
    return base, digest


def _find_notes(entry: str) -> re.Match[str] | None:
    start = entry.rfind(_NOTES_START)
    return _NOTES.fullmatch(entry, start) if start >= 0 else None


_NOTES_START = ',"c":'
_NOTES = re.compile(r',"c":[0-9]+,"k":\{[^{}]*\}(?:,"s":(?P<mark>\["[^"\\]*","[^"\\]*"\]))?(?:,"h":"[0-9a-f]*")?\}')


def parse_vat_text(text: object, limits: Limits) -> VatText:
    """Parse what a vat sent. Nothing in it is trusted; the syscalls are parsed by the caller.

    Raises:
        IllegalSyscall: it is not a text of this protocol.
    """
    if not isinstance(text, str):
        raise IllegalSyscall(f"a vat's message must be text, not {type(text).__name__}")
    if len(text) > limits.batch_chars_max:
        raise IllegalSyscall(f"a vat's message of {len(text):,} characters; the limit is {limits.batch_chars_max:,}")
    try:
        value = canonical.load(text)
    except (ValueError, RecursionError) as error:
        raise IllegalSyscall(f"a vat's message is not JSON: {error}") from error
    match value:
        case ["done", int(number), status, list(syscalls), usage] if not isinstance(number, bool):
            if len(syscalls) > limits.batch_syscalls_max:
                raise IllegalSyscall(
                    f"{len(syscalls):,} syscalls in a batch; the limit is {limits.batch_syscalls_max:,}"
                )
            fault, poison = _parse_status(status)
            return Done(number, fault, syscalls, _parse_usage(usage, limits), poison)
        case [
            "hello",
            {
                "protocol": 1,
                "vat": None | str() as vat,
                "incarnation": int(incarnation),
                "delivered": int(delivered),
            } as fields,
        ]:
            marked, base = fields.get("marked", 0), fields.get("base", "")
            if not isinstance(marked, int) or not isinstance(base, str):
                raise IllegalSyscall(f"malformed hello: {text:.200}")
            return Hello(vat, incarnation, delivered, marked, base)
        case ["ready", int(delivered)]:
            return Ready(delivered)
        case ["digest", int(delivered), str(digest)]:
            return Digest(delivered, digest)
        case ["seen", dict(found)]:
            return Seen(found)
        case ["failed", str(reason)]:
            return Failed(reason)
        case _:
            raise IllegalSyscall(f"unknown message from a vat: {text:.200}")


def _parse_status(status: object) -> tuple[str | None, str | None]:
    match status:
        case ["ok", None]:
            return None, None
        case ["error", str(error)]:
            return error, None
        case ["poison", str(reason)]:
            return None, reason
        case _:
            raise IllegalSyscall(f"malformed delivery status: {status!r:.200}")


def _parse_usage(usage: object, limits: Limits) -> Usage:
    """Usage is for display only: what is malformed in it is left out."""
    console = usage.get("console") if isinstance(usage, dict) else None
    if not isinstance(usage, dict) or not isinstance(console, list):
        return Usage()
    memory_bytes = usage.get("memory_bytes")
    meter = _parse_meter(usage.get("meter"))
    if not console and memory_bytes is None and meter is None:
        return Usage()
    lines: list[str] = []
    room = limits.console_chars_max
    for line in console:
        if not isinstance(line, str) or room <= 0:
            break
        lines.append(line[:room])
        room -= len(line)
    return Usage(memory_bytes if isinstance(memory_bytes, int) else None, tuple(lines), meter)


def _parse_meter(value: object) -> tuple[int, int | None] | None:
    match value:
        case [int(used), None | int() as left]:
            return used, left
        case _:
            return None


@dataclass(frozen=True, slots=True)
class TranscriptEntry:
    """One delivery as it happened: what replay needs, and compares.

    Attributes:
        crank, names, mark: the kernel's own notes (`kernel_py.core.transcripts`); a realm is not told of them.
    """

    number: int
    time_ms: int
    delivery: Any
    syscalls: list[Any]
    error: str | None
    crank: int = 0
    names: dict[str, str] = field(default_factory=dict)
    mark: tuple[str, str] | None = None


def parse_transcript_entry(value: object) -> TranscriptEntry:
    """Parse one entry of a "replay" message, or of a stored transcript.

    Raises:
        MarshalError: it is not an entry.
    """
    match value:
        case {
            "n": int(number),
            "t": int(time_ms),
            "d": delivery,
            "sc": list(syscalls),
            "r": None | str() as error,
            "c": int(crank),
            "k": dict(names),
            **more,
        }:
            mark: tuple[str, str] | None = None
            match more.get("s"):
                case [str(base), str(digest)]:
                    mark = base, digest
                case _:
                    pass
            return TranscriptEntry(number, time_ms, delivery, syscalls, error, crank, names, mark)
        case {"n": int(number), "t": int(time_ms), "d": delivery, "sc": list(syscalls), "r": None | str() as error}:
            return TranscriptEntry(number, time_ms, delivery, syscalls, error)
        case _:
            raise MarshalError(f"not a transcript entry: {value!r:.200}")
