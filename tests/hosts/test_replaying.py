"""A vat's whole life, carried out again."""

from __future__ import annotations

import asyncio
import io
import re

from kernel_py.core.archive import export_archive, import_archive
from kernel_py.core.kernel import Kernel
from kernel_py.core.store import MemoryBackend
from kernel_py.hosts.memory import run_now
from kernel_py.hosts.replaying import Replayer, Report
from kernel_py.wire.limits import Limits
from tests.hosts.realms import Asker, World
from tests.hosts.test_host import CELL, FILES
from tests.virtual_loop import run_async


async def live() -> MemoryBackend:
    """The store, elsewhere, of a cluster that has lived for a while, and of which one vat was upgraded."""
    world = World(limits=Limits(snapshot_deliveries=5))
    await world.start()
    asker = Asker(world)
    asker.connect()
    cluster = await asker.launch(FILES, a=CELL, b=CELL)
    for number in range(10):
        await asker.send(cluster["root"], "relay", f"'b', {number}")
        await asyncio.sleep(1)
    await asker.result("upgradeVat", {"vat": "v2", "files": FILES, "source": "cell.py"})
    archive, elsewhere = io.BytesIO(), MemoryBackend()
    run_now(export_archive(world.backend, archive.write))
    run_now(import_archive(elsewhere, archive.getvalue()))
    return elsewhere


async def replay(backend: MemoryBackend, vat: str, **changes: str) -> tuple[Report, list[tuple[str, int, int]]]:
    world = World()
    for name, value in changes.items():
        setattr(world, name, value)
    progress: list[tuple[str, int, int]] = []
    kernel = Kernel(backend.texts, seed="another")
    replayer = Replayer(kernel, backend, world, on_progress=lambda *told: progress.append(told))
    world.host = replayer  # type: ignore[assignment]
    return await replayer.replay(vat), progress


def test_a_sound_life_is_the_same_again_heaps_and_all() -> None:
    async def main() -> None:
        backend = await live()
        for vat, name in (("v1", "a"), ("v2", "b")):
            report, progress = await replay(backend, vat)
            assert report.differences == []
            assert (report.name, report.unchecked) == (name, 0)
            assert report.heaps >= 2
            assert progress[-1] == (vat, report.deliveries, report.deliveries)

    run_async(main())


def test_a_heap_that_is_another_is_named() -> None:
    async def main() -> None:
        report, _ = await replay(await live(), "v1", littered="v1")
        assert report.heaps == 0
        assert re.match(r"the heap after delivery 3 of v1 is another: expected \w+, actual \w+", report.differences[0])

    run_async(main())


def test_heaps_of_another_base_are_not_compared() -> None:
    async def main() -> None:
        report, _ = await replay(await live(), "v1", base="log-2")
        assert report.differences == []
        assert report.heaps == 0
        assert report.unchecked >= 2

    run_async(main())


def test_a_flipped_byte_in_the_record_is_named() -> None:
    async def main() -> None:
        backend = await live()
        backend.transcripts["v1"][7] = backend.transcripts["v1"][7].replace("relay", "relax")
        report, _ = await replay(backend, "v1")
        assert "entry 7 of the transcript of v1 is damaged" in report.differences[0]

    run_async(main())


def test_code_that_does_something_else_is_named_with_both_syscalls() -> None:
    async def main() -> None:
        backend = await live()
        for bundle, text in backend.bundles.items():
            backend.bundles[bundle] = text.replace("E(self.vats[name]).add(item)", "E(self.vats[name]).add('other')")
        report, _ = await replay(backend, "v1")
        assert re.search(r"replay of delivery 3 differs .* expected .* actual .*other", report.differences[-1])

    run_async(main())
