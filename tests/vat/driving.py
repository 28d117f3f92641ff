"""Drives one vat by its protocol: deliveries in, syscalls out, as data."""

from __future__ import annotations

import dataclasses
import json
import textwrap
from collections.abc import Callable
from typing import Any

from kernel_py.vat.collector import collect_heap
from kernel_py.vat.session import VatSession
from kernel_py.vat.store import VatStore
from kernel_py.wire import canonical, protocol
from kernel_py.wire.capdata import CapData
from kernel_py.wire.limits import DEFAULT_LIMITS, Limits
from kernel_py.wire.smallcaps import Marshal

TIME_MS = 1_700_000_000_000
PRELUDE = "import asyncio\nfrom kernel_py.vat import *\n"
ROOT = "\ndef build_root_object(powers, parameters, baggage):\n    return Root()\n"


def make_files(source: str, main: str = "main.py") -> dict[str, str]:
    """The file of a vat: `source` with the usual imports, and a root if it builds none."""
    source = textwrap.dedent(source)
    tail = "" if "build_root_object" in source else ROOT
    return {main: PRELUDE + source + tail}


class Ref:
    """In a test's data: a reference by its vref, such as Ref("o-50", "Counter") or Ref("p-60")."""

    def __init__(self, vref: str, iface: str | None = None) -> None:
        self.vref = vref
        self.iface = iface

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Ref) and self.vref == other.vref

    def __hash__(self) -> int:
        return hash(self.vref)

    def __repr__(self) -> str:
        return f"Ref({self.vref!r})"


def _value_to_slot(value: object) -> tuple[str, str | None] | None:
    if not isinstance(value, Ref):
        return None
    return value.vref, None if value.vref[0] == "p" else f"Alleged: {value.iface or 'thing'}"


_marshal = Marshal(
    value_to_slot=_value_to_slot,
    slot_to_value=lambda slot, iface, is_promise: Ref(slot, None if iface is None else iface.removeprefix("Alleged: ")),
)


def capdata(value: object) -> dict[str, Any]:
    """A value as capdata in JSON form; `Ref`s are its slots."""
    data = _marshal.serialize(value)
    return {"body": data.body, "slots": list(data.slots)}


def value_of(data: dict[str, Any]) -> Any:
    """What capdata in JSON form holds; its slots as `Ref`s."""
    return _marshal.unserialize(CapData(data["body"], tuple(data["slots"])))


def message(target: str, method: object, *args: object, result: str | None = "p-60", **kwargs: object) -> list[Any]:
    call = [method, list(args), kwargs] if kwargs else [method, list(args)]
    return ["message", target, {"methargs": capdata(call), "result": result}]


def notify(*settled: tuple[str, object] | tuple[str, object, str]) -> list[Any]:
    """``notify(("p+5", 3), ("p+6", error, "rejected"))``."""
    return ["notify", [[item[0], len(item) == 3, capdata(item[1])] for item in settled]]


def show(syscall: list[Any]) -> tuple[Any, ...]:
    """A syscall as short data: ("send", target, method, args, result), ("resolve", (vpid, value), ...), ..."""
    match syscall:
        case ["send", target, {"methargs": methargs, "result": result}]:
            return "send", target, *value_of(methargs), result
        case ["resolve", resolutions]:
            return "resolve", *(
                (vpid, *(("rejected",) if bad else ()), _plain(value_of(data))) for vpid, bad, data in resolutions
            )
        case ["exit", is_failure, info]:
            return "exit", is_failure, value_of(info)
        case _:
            return tuple(syscall)


def _plain(value: Any) -> Any:
    return f"{value.name}: {value.message}" if isinstance(value, Exception) else value


class Failed(Exception):
    """The session answered "failed"."""


class DeliveryError(Exception):
    """The vat could not carry out a delivery."""


class DrivenVat:
    """A vat whose kernel is the test.

    Attributes:
        console: what the last delivery printed.
        transcript: the entries of all deliveries, as texts; the specifications of incarnations between them.
    """

    def __init__(
        self,
        source: str = "",
        *,
        files: dict[str, str] | None = None,
        main: str = "main.py",
        vat: str = "v1",
        parameters: object = None,
        limits: Limits = DEFAULT_LIMITS,
        start: bool = True,
        seed: str = "seed",
        collect: Callable[[], object] = collect_heap,
        make_store: Callable[[], VatStore] = VatStore,
    ) -> None:
        self.files = make_files(source, main) | (files or {})
        self.spec = protocol.VatSpec(vat, 0, "tested", seed, main, self.files)
        self.session = VatSession(limits=limits, collect=collect, make_store=make_store)
        self.number = 0
        self.time_ms = TIME_MS
        self.console: list[str] = []
        self.transcript: list[str | protocol.VatSpec] = []
        self.first_spec = self.spec
        self.say(protocol.dump_start(self.spec))
        if start:
            self.go()
            self.deliver(["startVat", capdata(parameters)])

    def say(self, text: str) -> list[Any]:
        """Give the session a text; its answers, parsed."""
        answers = [json.loads(answer) for answer in self.session.receive(text)]
        for answer in answers:
            if answer[0] == "failed":
                raise Failed(answer[1])
        return answers

    def go(self) -> None:
        assert self.say(protocol.dump_go(self.number)) == [["ready", self.number]]

    def deliver(self, delivery: list[Any]) -> list[tuple[Any, ...]]:
        """Make the next delivery; the syscalls, shown."""
        return [show(syscall) for syscall in self.deliver_raw(delivery)]

    def deliver_raw(self, delivery: list[Any]) -> list[Any]:
        self.number += 1
        self.time_ms += 1
        text = canonical.dump(delivery)
        [[kind, number, [status, error], syscalls, usage]] = self.say(
            protocol.dump_deliver(self.number, self.time_ms, text)
        )
        assert (kind, number) == ("done", self.number)
        self.console = usage["console"]
        self.transcript.append(
            protocol.dump_transcript_entry(self.number, self.time_ms, text, canonical.dump(syscalls), error)
        )
        if status == "error":
            raise DeliveryError(error)
        return syscalls

    def call(
        self, method: object, *args: object, target: str = "o+0", result: str | None = "p-60", **kwargs: object
    ) -> list[Any]:
        """Deliver a message to the root; the syscalls, shown."""
        return self.deliver(message(target, method, *args, result=result, **kwargs))

    def notify(self, *settled: Any) -> list[Any]:
        return self.deliver(notify(*settled))

    def upgrade(self, source: str, parameters: object = None) -> list[tuple[Any, ...]]:
        """Begin the next incarnation, with the code of `source`; the syscalls of its start, shown."""
        self.spec = dataclasses.replace(self.spec, incarnation=self.spec.incarnation + 1, files=make_files(source))
        assert self.say(protocol.dump_upgrade(self.spec)) == []
        self.transcript.append(self.spec)
        return self.deliver(["startVat", capdata(parameters)])

    def bring_out_your_dead(self) -> list[tuple[Any, ...]]:
        return self.deliver(["bringOutYourDead"])

    @property
    def records(self) -> dict[str, str]:
        """What is in the vat store."""
        assert self.session._supervisor is not None
        return dict(self.session._supervisor._store._execute("SELECT key, value FROM kv ORDER BY key"))

    def replayed(self, entries: list[str] | None = None) -> DrivenVat:
        """The same vat in a new realm, brought up from the transcript."""
        again = DrivenVat(vat=self.spec.vat, start=False)
        again.session = VatSession()
        again.spec, again.first_spec = self.spec, self.first_spec
        again.say(protocol.dump_start(self.first_spec))
        for entry in self.transcript if entries is None else entries:
            is_spec = isinstance(entry, protocol.VatSpec)
            again.say(protocol.dump_upgrade(entry) if is_spec else protocol.dump_replay([entry]))
        again.number, again.time_ms, again.transcript = self.number, self.time_ms, list(self.transcript)
        again.go()
        return again
