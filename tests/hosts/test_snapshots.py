"""Heap snapshots in the asynchronous host: when they are taken, and what comes of those that are of no use."""

from __future__ import annotations

import asyncio
import random

import pytest

from kernel_py.wire.limits import Limits
from tests.hosts.realms import Asker, World
from tests.hosts.test_host import CELL, FILES
from tests.virtual_loop import run_async

FEW = Limits(snapshot_deliveries=5)


async def settle() -> None:
    """Let what was begun be over; time is virtual."""
    await asyncio.sleep(10)


async def make_world(limits: Limits = FEW) -> tuple[World, Asker]:
    world = World(limits=limits)
    await world.start()
    asker = Asker(world)
    asker.connect()
    return world, asker


async def add(asker: Asker, root: str, count: int) -> None:
    for number in range(count):
        await asker.send(root, "add", str(number))
        await settle()


def kept(world: World, vat: str = "v1") -> tuple[int, ...]:
    assert world.host is not None
    return world.host.kernel.get_mark(vat).kept


async def fault(asker: Asker, vat: str = "v1") -> str:
    (found,) = [each for each in (await asker.result("status"))["vats"] if each["vat"] == vat]
    return str(found["fault"])


def restart(world: World, asker: Asker) -> None:
    """Every realm is gone; the next delivery brings its vat back."""
    for vat in list(world.realms):
        world.kill_realm(vat)
    world.restored.clear()


def test_the_first_is_taken_soon_and_others_from_time_to_time() -> None:
    async def main() -> None:
        world, asker = await make_world()
        cluster = await asker.launch(FILES, a=CELL)
        for _ in range(14):
            await asker.send(cluster["root"], "add", "1")
        await settle()
        assert kept(world) == (8, 13)

    run_async(main())


def test_under_load_deliveries_wait_for_it() -> None:
    async def main() -> None:
        world, asker = await make_world()
        cluster = await asker.launch(FILES, a=CELL)
        answers = await asyncio.gather(*(asker.send(cluster["root"], "add", "1") for _ in range(100)))
        assert answers == [str(number) for number in range(1, 101)]
        assert kept(world)[-1] >= 50

    run_async(main())


def test_a_vat_comes_back_from_the_newest_and_replays_the_rest() -> None:
    async def main() -> None:
        world, asker = await make_world()
        cluster = await asker.launch(FILES, a=CELL)
        waiting = asyncio.ensure_future(asker.send(cluster["root"], "wait_for", "'x'"))
        await add(asker, cluster["root"], 8)
        restart(world, asker)
        assert await asker.send(cluster["root"], "read") == str([*range(8)])
        assert world.restored == [("v1", 9)]
        assert kept(world) == (4, 9)
        await asker.send(cluster["root"], "fulfil", "'x', 'done'")
        assert await waiting == "'done'"
        assert await fault(asker) == ""

    run_async(main())


def test_a_replay_from_the_start_passes_the_same_heaps() -> None:
    async def main() -> None:
        world, asker = await make_world()
        cluster = await asker.launch(FILES, a=CELL)
        await add(asker, cluster["root"], 8)
        assert kept(world) == (3, 8)
        for number in kept(world):
            world.host.kernel.snapshot_unusable("v1", number, "is not wanted")  # type: ignore[union-attr]
        watcher = Asker(world)
        watcher.connect(subscribe=True)
        restart(world, asker)
        await add(asker, cluster["root"], 1)
        assert world.restored == []
        assert [event for event in watcher.events if event["class"] == "Fault"] == []

    run_async(main())


def test_a_heap_that_came_out_otherwise_is_told_and_the_vat_goes_on() -> None:
    async def main() -> None:
        world, asker = await make_world()
        cluster = await asker.launch(FILES, a=CELL)
        await add(asker, cluster["root"], 8)
        for number in kept(world):
            world.host.kernel.snapshot_unusable("v1", number, "is not wanted")  # type: ignore[union-attr]
        watcher = Asker(world)
        watcher.connect(subscribe=True)
        restart(world, asker)
        world.littered = "v1"
        await add(asker, cluster["root"], 1)
        faults = [event["fault"] for event in watcher.events if event["class"] == "Fault"]
        assert faults == ["HeapDiffers", "HeapDiffers"]
        assert await fault(asker) == "the heap after delivery 8 differs from its record"
        assert await asker.send(cluster["root"], "read") == str([*range(8), 0])

    run_async(main())


@pytest.mark.parametrize("damage", ["missing", "flipped"])
def test_a_damaged_chunk_is_named_and_the_vat_comes_back_without_it(damage: str) -> None:
    async def main() -> None:
        world, asker = await make_world()
        cluster = await asker.launch(FILES, a=CELL)
        await add(asker, cluster["root"], 8)
        chunk = min(world.backend.chunks)
        packed = world.backend.chunks.pop(chunk)
        if damage == "flipped":
            world.backend.chunks[chunk] = packed[:-1] + bytes([packed[-1] ^ 1])
        restart(world, asker)
        assert await asker.send(cluster["root"], "read") == str([*range(8)])
        assert chunk in await fault(asker)
        await add(asker, cluster["root"], 10)
        restart(world, asker)
        await add(asker, cluster["root"], 1)
        assert world.restored == [("v1", kept(world)[-1])]

    run_async(main())


def test_a_damaged_entry_is_named_and_only_that_vat_is_broken() -> None:
    async def main() -> None:
        world, asker = await make_world()
        cluster = await asker.launch(FILES, a=CELL, b=CELL)
        await add(asker, cluster["root"], 4)
        assert kept(world) == (3,)
        entry = world.backend.transcripts["v1"][6]
        world.backend.transcripts["v1"][6] = entry.replace("add", "adb")
        restart(world, asker)
        asking = asyncio.ensure_future(asker.send(cluster["root"], "read"))
        await settle()
        assert "entry 6 of the transcript of v1 is damaged" in await fault(asker)
        assert not asking.done()
        roots = {vat["name"]: vat["root"] for vat in (await asker.result("status"))["vats"]}
        assert await asker.send(roots["b"], "add", "1") == "1"
        world.backend.transcripts["v1"][6] = entry
        await asker.result("restartVat", {"vat": "v1"})
        assert await asking == str([*range(4)])

    run_async(main())


def test_realms_that_start_from_another_image_replay() -> None:
    async def main() -> None:
        world, asker = await make_world()
        cluster = await asker.launch(FILES, a=CELL)
        await add(asker, cluster["root"], 8)
        restart(world, asker)
        world.base = "log-2"
        await add(asker, cluster["root"], 6)
        assert world.restored == []
        assert await fault(asker) == ""
        restart(world, asker)
        await add(asker, cluster["root"], 1)
        assert world.restored == [("v1", kept(world)[-1])]

    run_async(main())


def test_a_heap_that_cannot_be_had_is_not_asked_for_again() -> None:
    async def main() -> None:
        world, asker = await make_world()
        world.refuses = "it is not at rest"
        watcher = Asker(world)
        watcher.connect(subscribe=True)
        cluster = await asker.launch(FILES, a=CELL)
        await add(asker, cluster["root"], 8)
        faults = [event for event in watcher.events if event["class"] == "Fault"]
        assert [(event["fault"], event["reason"]) for event in faults] == [("NoSnapshot", "it is not at rest")]
        restart(world, asker)
        assert await asker.send(cluster["root"], "read") == str([*range(8)])

    run_async(main())


def test_after_an_upgrade_a_vat_comes_back_from_either_life() -> None:
    async def main() -> None:
        world, asker = await make_world()
        cluster = await asker.launch(FILES, a=CELL)
        await add(asker, cluster["root"], 4)
        await asker.result("upgradeVat", {"vat": "v1", "files": FILES, "source": "cell.py"})
        await settle()
        restart(world, asker)
        await add(asker, cluster["root"], 1)
        assert world.restored == [("v1", 3)]
        await add(asker, cluster["root"], 6)
        restart(world, asker)
        assert await asker.send(cluster["root"], "read") == "[0, 0, 1, 2, 3, 4, 5]"
        assert world.restored == [("v1", kept(world)[-1])]
        assert world.host.kernel.find_snapshot("v1", "log-1").incarnation == 1  # type: ignore[union-attr]

    run_async(main())


@pytest.mark.parametrize("seed", range(20))
def test_killed_at_any_moment_of_a_look_no_message_is_lost_and_none_done_twice(seed: int) -> None:
    chance = random.Random(seed)

    async def main() -> None:
        world = World(realm_s=0.002, commit_s=0.003, limits=Limits(snapshot_first_deliveries=1, snapshot_deliveries=2))
        await world.start()
        asker = Asker(world)
        asker.connect()
        cluster = await asker.launch(FILES, a=CELL, b=CELL)
        asking = [asyncio.ensure_future(asker.send(cluster["root"], "relay", f"'b', {n}")) for n in range(40)]
        for _ in range(15):
            await asyncio.sleep(chance.uniform(0, 0.04))
            if chance.random() < 0.3 and world.backend.chunks:
                world.backend.chunks.pop(chance.choice(sorted(world.backend.chunks)))
            if chance.random() < 0.3 and world.realms:
                world.kill_realm(chance.choice(sorted(world.realms)))
                continue
            world.kill_host()
            if chance.random() < 0.5:
                for vat in sorted(world.realms):
                    world.destroy(vat)
            await asyncio.sleep(chance.uniform(0, 0.01))
            await world.start()
            asker.connect()
        answers = await asyncio.gather(*asking)
        assert sorted(answers) == sorted(f"[{n}, {n}]" for n in range(1, 41))
        for vat in (await asker.result("status"))["vats"]:
            assert await asker.send(vat["root"], "read") == str([*range(40)])
        assert world.restored

    run_async(main())
