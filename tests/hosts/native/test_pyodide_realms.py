"""Realms of browsers in Node: heaps are stored, restored, and the same in every process that lived through the same."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sqlite3
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kernel_py.core.kernel import Kernel
from kernel_py.hosts.loading import Loading
from kernel_py.hosts.native.heap_lines import HeapLines

pytest.importorskip("resource", reason="it is not in Pyodide")
from kernel_py.hosts.native.node_program import make_realm_program
from kernel_py.hosts.native.sqlite_store import SqliteBackend
from kernel_py.wire import canonical, protocol
from kernel_py.wire.errors import HostFault
from kernel_py.wire.limits import DEFAULT_LIMITS
from kernel_py.wire.snapshots import HeapImage
from tests.hosts.native_driver import launch, open_kernel, run_native, send
from tests.hosts.test_worker_kinds import ProcessRealm

pytestmark = pytest.mark.native

LIMITS = replace(DEFAULT_LIMITS, snapshot_deliveries=50)
DELIVERIES = 300

SOURCE = """
import math, os, random
from kernel_py.vat import Exo, make_promise

class Worker(Exo):
    def bootstrap(self, vats, services):
        self.rows = {}
        self.total = 0
        self.promise, self.resolver = make_promise()

    def work(self, number):
        for step in range(20):
            self.rows[number % 50, step] = (math.sin(number + step), str(random.random()), float("nan"))
        self.total += number
        return self.total

    async def wait(self):
        total = self.total
        return total, await self.promise

    def settle(self):
        self.resolver.resolve(self.total)

    def hang(self):
        while True:
            pass

    def reach(self):
        found = [os.path.exists("/etc/passwd"), os.path.exists("/usr/bin/env")]
        for name in ("js", "pyodide_js", "_pyodide", "socket"):
            try:
                found.append(bool(__import__(name).socket().connect(("127.0.0.1", 1))))
            except (ImportError, OSError, AttributeError):
                found.append(None)
        return found

def build_root_object(powers, parameters, baggage):
    return Worker()
"""
FILES = {"worker.py": SOURCE}


def open_pyodide(tmp_path: Path, **options: Any) -> Any:
    return open_kernel(tmp_path, **{"pyodide": True, "limits": LIMITS, **options})


async def find_vat(kernel: Any) -> dict[str, Any]:
    (vat,) = (await kernel.request("status"))["vats"]
    return dict(vat)


def wait_at(root: str) -> dict[str, str]:
    return {"target": root, "method": "wait", "args": ""}


async def live(tmp_path: Path, kind: str, deliveries: int) -> None:
    async with open_pyodide(tmp_path) as kernel:
        roots = await launch(kernel, FILES, worker={"source": "worker.py", "kind": kind})
        for number in range(deliveries):
            await send(kernel, roots["worker"], "work", str(number))


@pytest.mark.parametrize("kind", ["pyodide", "iframe"])
def test_a_vat_goes_on_from_its_snapshot_with_what_it_waits_for(tmp_path: Path, kind: str) -> None:
    async def main() -> None:
        async with open_pyodide(tmp_path) as kernel:
            root = (await launch(kernel, FILES, worker={"source": "worker.py", "kind": kind}))["worker"]
            waiting = asyncio.ensure_future(kernel.request("send", wait_at(root), key="waits"))
            for number in range(5):
                await send(kernel, root, "work", str(number))
            waiting.cancel()
        async with open_pyodide(tmp_path) as kernel:
            assert await send(kernel, root, "work", "5") == "15"
            vat = await find_vat(kernel)
            assert vat["restored"] >= 3
            pid = kernel.workers.find_pid(vat["vat"])
            os.kill(pid, signal.SIGKILL)
            assert await send(kernel, root, "settle") == "None"
            answer = await kernel.request("send", wait_at(root), key="waits")
            assert answer["value"] == "[0, 15]"
            assert kernel.workers.find_pid(vat["vat"]) != pid

    run_native(main())


def damage(store: Path) -> None:
    database = sqlite3.connect(store)
    with database:
        assert database.execute("UPDATE chunks SET packed = x'00'").rowcount > 0
    database.close()


def test_a_vat_comes_back_from_its_start_if_a_chunk_is_damaged(tmp_path: Path) -> None:
    async def main() -> None:
        await live(tmp_path, "pyodide", 10)
        damage(tmp_path / "store.db")
        async with open_pyodide(tmp_path) as kernel:
            assert await send(kernel, "ko20", "work", "10") == "55"
            vat = await find_vat(kernel)
            assert vat["restored"] is None
            assert "is damaged in the store" in vat["fault"]

    run_native(main())


async def read_life(store: Path) -> tuple[list[str], dict[int, str]]:
    """The texts that let a realm live through the vat's life, and the digests that its heap had."""
    backend = SqliteBackend(store)
    kernel = Kernel(await backend.load(), seed="", kinds=("pyodide",))
    loading = Loading(kernel, backend, "v1")
    texts = [text async for text in loading.read_texts()]
    await backend.close()
    return [*texts, protocol.dump_go(loading.delivered)], {n: digest for n, (_, digest) in loading.marks.items()}


def test_the_heaps_of_a_life_are_those_of_its_replay(tmp_path: Path) -> None:
    run_native(live(tmp_path, "pyodide", DELIVERIES))
    texts, marks = asyncio.run(read_life(tmp_path / "store.db"))
    assert len(marks) >= DELIVERIES // LIMITS.snapshot_deliveries
    realm = ProcessRealm("pyodide")
    try:
        realm.take(1)  # its hello
        for text in texts:
            realm.post(text)
        *digests, ready = [json.loads(text) for text in realm.take(len(marks) + 1)]
    finally:
        realm.close()
    assert {delivered: digest for _, delivered, digest in digests} == marks
    assert ready[0] == "ready"


def test_a_vat_that_hangs_is_killed_and_goes_on(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_pyodide(tmp_path, answer_s_max=5) as kernel:
            root = (await launch(kernel, FILES, worker={"source": "worker.py", "kind": "pyodide"}))["worker"]
            assert "no answer within 5 s" in await send(kernel, root, "hang")
            assert await send(kernel, root, "work", "7") == "7"

    run_native(main())


def test_a_vat_reaches_nothing_of_the_machine(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_pyodide(tmp_path) as kernel:
            root = (await launch(kernel, FILES, worker={"source": "worker.py", "kind": "pyodide"}))["worker"]
            found = await send(kernel, root, "reach")
            assert found == "[False, False, None, None, None, None]"

    run_native(main())


class Hears:
    """What a host hears of heaps."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.images: list[HeapImage] = []
        self.reasons: list[str] = []

    def vat_text(self, vat: str, text: str) -> None:
        self.texts.append(text)

    def heap_imaged(self, vat: str, image: HeapImage) -> None:
        self.images.append(image)

    def heap_not_imaged(self, vat: str, reason: str) -> None:
        self.reasons.append(reason)


@pytest.mark.parametrize(
    "line", ['["piece","1","no base64"]', '["piece",1,""]', '["heap","other",1,"b",1]', '["no heap"]', '["heap",']
)
def test_a_malformed_line_of_a_heap_goes_to_the_kernel(line: str) -> None:
    hears = Hears()
    HeapLines("v1", hears, DEFAULT_LIMITS).take(line)
    assert (hears.texts, hears.images, hears.reasons) == ([line], [], [])


def test_a_heap_beyond_the_limit_is_refused_and_the_next_is_not() -> None:
    hears = Hears()
    lines = HeapLines("v1", hears, replace(DEFAULT_LIMITS, heap_difference_bytes_max=5))
    piece = '["piece","0","YWJjZA=="]'
    for line in (piece, piece, '["heap","take",1,"b",100]', piece, '["heap","take",2,"b",100]'):
        lines.take(line)
    assert hears.reasons == ["8 bytes of its heap differ from its image; the limit is 5"]
    (image,) = hears.images
    assert image.pages.startswith("0:")
    lines.take(piece)
    lines.take('["heap","check",2,"b",100]')
    assert hears.texts == [canonical.dump(["digest", 2, image.digest])]


def test_what_is_missing_is_said(tmp_path: Path) -> None:
    with pytest.raises(HostFault, match="make setup"):
        make_realm_program(tmp_path)
