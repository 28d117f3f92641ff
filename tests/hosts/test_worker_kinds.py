"""One conformance suite over every worker kind: a realm that passes it can run a vat.

The scenarios are data at the kernel-vat boundary: texts in, texts out. They are about one vat, ``conforming``, which is
written once for each language; references that a vat allocates may have any number.

Another kind joins by calling these functions with a `Realm` of its own, as ``e2e`` does with stores.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Protocol

import pytest

from kernel_py.vat.session import VatSession
from kernel_py.wire import canonical, protocol
from kernel_py.wire.snapshots import HeapImage
from tests.vat.driving import Ref, capdata, message, notify, value_of

VATS = Path(__file__).parent / "vats"
PYTHON, MODULE = "conforming.py", "conforming.wasm"
ANSWER_S_MAX = 600
"""The first of kind "confined" may have to build what it runs in."""


def load_sources(name: str) -> dict[str, str]:
    """The file of a vat, as a launch request has it."""
    data = (VATS / name).read_bytes()
    return {name: base64.b64encode(data).decode() if name == MODULE else data.decode()}


class Realm(Protocol):
    """One fresh realm under test."""

    def post(self, text: str) -> None:
        """Send it a text."""

    def take(self, count: int) -> list[str]:
        """Wait for the next texts from it."""

    def close(self) -> None: ...


OpenRealm = Callable[[], Realm]


class SessionRealm:
    """A vat in this process."""

    def __init__(self) -> None:
        self._session = VatSession()
        self._texts = [self._session.hello()]

    def post(self, text: str) -> None:
        for line in text.split("\n"):
            self._texts += self._session.receive(line)

    def take(self, count: int) -> list[str]:
        taken, self._texts = self._texts[:count], self._texts[count:]
        assert len(taken) == count, f"{len(taken)} answers where {count} were awaited"
        return taken

    def close(self) -> None:
        self._session.close()


class ProcessRealm:
    """A vat in a worker process, or a program."""

    def __init__(self, kind: str, command: tuple[str, ...] = ()) -> None:
        from kernel_py.hosts.native.workers import ProcessWorkers

        self.kind = kind
        self._runner = asyncio.Runner()
        self._texts: asyncio.Queue[str] = asyncio.Queue()
        self._tasks: list[asyncio.Task[None]] = []
        self.workers = self._runner.run(self._open(ProcessWorkers, command))
        self._runner.run(self._create(kind))

    async def _open(self, make: Any, command: tuple[str, ...]) -> Any:
        from kernel_py.hosts.native.wasm_runtime import WasmRuntime

        loop = asyncio.get_running_loop()
        self.runtime = WasmRuntime()
        if self.kind == "wasm":
            await self.runtime.check("wasm", MODULE, load_sources(MODULE))
        workers = make(
            find_command=lambda vat: command,
            spawn=lambda coroutine: self._tasks.append(loop.create_task(coroutine)),
            runtime=self.runtime,
            read_chunk=self.read_chunk,
        )
        workers.listener = self
        return workers

    async def _create(self, kind: str) -> None:
        self.workers.create("v1", 0, kind)

    def vat_text(self, vat: str, text: str) -> None:
        self._texts.put_nowait(text)

    def heap_imaged(self, vat: str, image: HeapImage) -> None:
        self.image = image

    async def read_chunk(self, chunk: str) -> bytes:
        return self.image.chunks[chunk]

    def vat_lost(self, vat: str, reason: str) -> None:
        self._texts.put_nowait(json.dumps(["lost", reason]))

    def post(self, text: str) -> None:
        async def write() -> None:
            self.workers.post("v1", text)

        self._runner.run(write())

    def take(self, count: int) -> list[str]:
        async def read() -> list[str]:
            async with asyncio.timeout(ANSWER_S_MAX):
                return [await self._texts.get() for _ in range(count)]

        return self._runner.run(read())

    def close(self) -> None:
        async def end() -> None:
            self.workers.close()

        self._runner.run(end())
        self._runner.close()


def _open_session() -> Realm:
    return SessionRealm()


def _open_process() -> Realm:
    return ProcessRealm("process")


def _open_confined() -> Realm:
    return ProcessRealm("confined")


def _open_wasm() -> Realm:
    return ProcessRealm("wasm")


def _open_pyodide() -> Realm:
    return ProcessRealm("pyodide")


def _open_node() -> Realm:
    return ProcessRealm("command", ("node", str(VATS / "conforming.mjs")))


KINDS: list[Any] = [
    pytest.param(_open_session, id="in-process"),
    pytest.param(_open_process, id="process", marks=pytest.mark.native),
    pytest.param(_open_node, id="command", marks=pytest.mark.native),
    pytest.param(_open_pyodide, id="pyodide", marks=pytest.mark.native),
    pytest.param(_open_confined, id="confined", marks=pytest.mark.native),
    pytest.param(_open_wasm, id="wasm", marks=pytest.mark.native),
]


@pytest.fixture(params=KINDS)
def open_realm(request: pytest.FixtureRequest) -> Iterator[OpenRealm]:
    """Opens a fresh realm."""
    with ExitStack() as stack:

        def open_one() -> Realm:
            realm: Realm = request.param()
            stack.callback(realm.close)
            return realm

        yield open_one


class Vat:
    """The conforming vat in a realm, as its kernel sees it."""

    def __init__(self, realm: Realm) -> None:
        self.realm = realm
        self.number = 0
        self.transcript: list[str] = []
        (hello,) = self.take()
        assert hello[0] == "hello"
        said = {name: value for name, value in hello[1].items() if name not in {"incarnation", "base"}}
        assert said == {"protocol": 1, "vat": None, "delivered": 0}

    def take(self, count: int = 1) -> list[Any]:
        return [json.loads(text) for text in self.realm.take(count)]

    def ask(self, text: str) -> Any:
        self.realm.post(text)
        (answer,) = self.take()
        return answer

    def spec(self, incarnation: int = 0) -> protocol.VatSpec:
        main = MODULE if getattr(self.realm, "kind", "") == "wasm" else PYTHON
        return protocol.VatSpec("v1", incarnation, "tested", "seed", main, load_sources(main))

    def start(self) -> None:
        self.realm.post(protocol.dump_start(self.spec()))

    def bring_up(self, entries: list[str] | None = None) -> Any:
        """Start, replay and go; the answer to go."""
        self.start()
        if entries:
            self.realm.post(protocol.dump_replay(entries))
        self.number = len(entries or ())
        return self.ask(protocol.dump_go(self.number))

    def text_of(self, delivery: list[Any]) -> str:
        self.number += 1
        return protocol.dump_deliver(self.number, 1_700_000_000_000 + self.number, canonical.dump(delivery))

    def finish(self, delivery: list[Any], done: Any) -> list[Any]:
        """The syscalls of an answer, which goes into the transcript."""
        kind, number, status, syscalls, usage = done
        assert (kind, number, status) == ("done", len(self.transcript) + 1, ["ok", None])
        assert isinstance(usage, dict)
        self.transcript.append(
            protocol.dump_transcript_entry(
                number, 1_700_000_000_000 + number, canonical.dump(delivery), canonical.dump(syscalls), None
            )
        )
        return list(syscalls)

    def deliver(self, delivery: list[Any]) -> list[Any]:
        return self.finish(delivery, self.ask(self.text_of(delivery)))

    def call(self, method: str, *args: object, target: str = "o+0", result: str = "p-60") -> list[Any]:
        return self.deliver(message(target, method, *args, result=result))


def settled(syscalls: list[Any]) -> list[tuple[str, bool, Any]]:
    """What was settled, as (promise, is_reject, value)."""
    return [
        (promise, is_reject, value_of(data))
        for kind, *rest in syscalls
        if kind == "resolve"
        for promise, is_reject, data in rest[0]
    ]


def open_vat(open_realm: OpenRealm) -> Vat:
    vat = Vat(open_realm())
    assert vat.bring_up() == ["ready", 0]
    assert vat.deliver(["startVat", capdata({})]) == []
    return vat


def test_an_answer_settles_the_result_of_its_message(open_realm: OpenRealm) -> None:
    vat = open_vat(open_realm)
    assert settled(vat.call("add", "x")) == [("p-60", False, 1)]
    assert settled(vat.call("add", "y", result="p-61")) == [("p-61", False, 2)]


def test_a_failure_rejects_the_result_and_the_vat_goes_on(open_realm: OpenRealm) -> None:
    vat = open_vat(open_realm)
    ((promise, is_reject, error),) = settled(vat.call("fail", "out of stock"))
    assert (promise, is_reject) == ("p-60", True)
    assert (error.name, error.message) == ("ValueError", "out of stock")
    assert settled(vat.call("add", "x")) == [("p-60", False, 1)]


def test_a_send_waits_for_its_answer(open_realm: OpenRealm) -> None:
    vat = open_vat(open_realm)
    syscalls = vat.call("relay", Ref("o-50"), "x")
    ((_, target, sent),) = [syscall for syscall in syscalls if syscall[0] == "send"]
    assert target == "o-50"
    assert value_of(sent["methargs"]) == ["add", ["x"]]
    assert ["subscribe", sent["result"]] in syscalls
    assert settled(vat.deliver(notify((sent["result"], 7)))) == [("p-60", False, 7)]


def test_an_object_that_was_made_is_another_object(open_realm: OpenRealm) -> None:
    vat = open_vat(open_realm)
    vat.call("add", "x")
    ((_, _, made),) = settled(vat.call("make"))
    assert made.vref.startswith("o+")
    assert made.vref != "o+0"
    assert settled(vat.call("add", "y", target=made.vref)) == [("p-60", False, 1)]
    assert settled(vat.call("add", "z")) == [("p-60", False, 2)]


def test_a_result_may_stay_open_over_deliveries(open_realm: OpenRealm) -> None:
    vat = open_vat(open_realm)
    assert settled(vat.call("wait", result="p-60")) == []
    assert ("p-60", False, "now") in settled(vat.call("settle", "now", result="p-61"))


def test_a_delivery_that_comes_again_is_answered_again_and_not_carried_out(open_realm: OpenRealm) -> None:
    vat = open_vat(open_realm)
    text = vat.text_of(message("o+0", "add", "x"))
    assert vat.ask(text) == vat.ask(text)
    vat.transcript.append("")
    assert settled(vat.call("add", "y")) == [("p-60", False, 2)]


def test_several_texts_may_come_at_once(open_realm: OpenRealm) -> None:
    vat = open_vat(open_realm)
    delivery = message("o+0", "add", "x")
    vat.realm.post("\n".join([vat.text_of(delivery), vat.text_of(delivery)]))
    answers = [settled(vat.finish(delivery, done)) for done in vat.take(2)]
    assert answers == [[("p-60", False, 1)], [("p-60", False, 2)]]


def test_replay_brings_a_vat_back_with_its_state_and_what_it_waits_for(open_realm: OpenRealm) -> None:
    vat = open_vat(open_realm)
    vat.call("add", "x")
    syscalls = vat.call("relay", Ref("o-50"), "x", result="p-61")
    ((_, _, sent),) = [syscall for syscall in syscalls if syscall[0] == "send"]
    again = Vat(open_realm())
    assert again.bring_up(vat.transcript) == ["ready", 3]
    again.transcript = list(vat.transcript)
    assert settled(again.deliver(notify((sent["result"], 5)))) == [("p-61", False, 5)]
    assert settled(again.call("add", "y")) == [("p-60", False, 2)]


def test_an_upgrade_begins_a_new_life_without_the_old_heap(open_realm: OpenRealm) -> None:
    vat = open_vat(open_realm)
    vat.call("add", "x")
    vat.realm.post(protocol.dump_upgrade(vat.spec(1)))
    assert vat.deliver(["startVat", capdata({})]) == []
    assert settled(vat.call("add", "y")) == [("p-60", False, 1)]
    again = Vat(open_realm())
    again.start()
    again.realm.post(protocol.dump_replay(vat.transcript[:2]))
    again.realm.post(protocol.dump_upgrade(vat.spec(1)))
    again.realm.post(protocol.dump_replay(vat.transcript[2:]))
    assert again.ask(protocol.dump_go(4)) == ["ready", 4]


def test_a_replay_that_differs_from_the_record_fails_for_good(open_realm: OpenRealm) -> None:
    vat = open_vat(open_realm)
    vat.call("add", "x")
    again = Vat(open_realm())
    entries = [entry.replace("+1", "+9") for entry in vat.transcript]
    again.start()
    assert again.ask(protocol.dump_replay(entries))[0] == "failed"
    assert again.ask(protocol.dump_go(2))[0] == "failed"


def test_a_transcript_with_a_gap_fails(open_realm: OpenRealm) -> None:
    vat = open_vat(open_realm)
    vat.call("add", "x")
    again = Vat(open_realm())
    again.start()
    assert again.ask(protocol.dump_replay(vat.transcript[1:]))[0] == "failed"


def test_a_transcript_that_is_shorter_than_said_fails(open_realm: OpenRealm) -> None:
    vat = Vat(open_realm())
    vat.start()
    assert vat.ask(protocol.dump_go(2))[0] == "failed"


def test_a_delivery_with_a_wrong_number_fails(open_realm: OpenRealm) -> None:
    vat = open_vat(open_realm)
    vat.number += 5
    assert vat.ask(vat.text_of(message("o+0", "add", "x")))[0] == "failed"
