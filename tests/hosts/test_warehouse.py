"""Which vats are in memory: the policy by itself, and what nobody must notice of it."""

from __future__ import annotations

import asyncio
import json
import random
from collections import deque
from dataclasses import replace
from typing import Any

import pytest

from kernel_py.hosts.warehouse import Warehouse
from kernel_py.wire.limits import Limits
from tests.hosts.realms import Asker, World
from tests.hosts.test_host import CELL, FILES
from tests.virtual_loop import run_async

SMALL = Limits(vats_online_max=3, vats_memory_bytes_max=1_000, vat_idle_seconds_max=100, vat_stuck_seconds=10)


class Shelf:
    """A warehouse, and a plain list of who is busy."""

    def __init__(self, limits: Limits = SMALL) -> None:
        self.warehouse = Warehouse(limits)
        self.busy: set[str] = set()
        self.now_ms = 0

    def admit(self) -> list[str]:
        """Send away who should go and let in who may; the latter."""
        for vat in self.leaving():
            assert vat not in self.busy
            self.warehouse.left(vat)
        admitted = []
        while (vat := self.warehouse.find_next(self.now_ms, self.is_busy)) is not None:
            self.warehouse.came_in(vat, self.now_ms)
            admitted.append(vat)
        return admitted

    def leaving(self) -> list[str]:
        return self.warehouse.list_leaving(self.now_ms, self.is_busy)

    def is_busy(self, vat: str) -> bool:
        return vat in self.busy

    def use(self, vat: str, memory_bytes: int = 1) -> None:
        self.now_ms += 1
        self.warehouse.began(vat, self.now_ms)
        self.warehouse.used(vat, self.now_ms, memory_bytes)

    def fill(self, *vats: str) -> None:
        for vat in vats:
            self.warehouse.want(vat)
        assert self.admit() == list(vats)
        for vat in vats:
            self.use(vat)


@pytest.fixture
def shelf() -> Shelf:
    shelf = Shelf()
    shelf.fill("v1", "v2", "v3")
    return shelf


def test_nobody_leaves_for_nothing(shelf: Shelf) -> None:
    assert shelf.leaving() == []
    assert not Shelf().warehouse.needs_check(-1)


def test_the_least_recently_used_makes_room(shelf: Shelf) -> None:
    shelf.use("v1")
    shelf.warehouse.want("v4")
    assert shelf.leaving() == ["v2"]
    assert shelf.admit() == ["v4"]


def test_whoever_is_busy_stays_and_others_wait_in_their_order(shelf: Shelf) -> None:
    shelf.busy = {"v1", "v2", "v3"}
    shelf.warehouse.want("v5")
    shelf.warehouse.want("v4")
    assert shelf.admit() == []
    shelf.busy = {"v1", "v3"}
    assert shelf.admit() == ["v5"]
    assert shelf.warehouse.describe() == {"vats_online": 3, "vats_online_max": 3, "vats_waiting": 1}


def test_whoever_leaves_already_counts(shelf: Shelf) -> None:
    shelf.warehouse.want("v4")
    assert shelf.leaving() == ["v1"]
    shelf.warehouse.leaving("v1", is_leaving=True)
    shelf.busy = {"v1"}
    assert shelf.leaving() == []
    shelf.warehouse.leaving("v1", is_leaving=False)
    assert shelf.leaving() == ["v2"]


def test_a_stuck_vat_costs_no_place(shelf: Shelf) -> None:
    shelf.busy = {"v1", "v2", "v3"}
    shelf.warehouse.want("v4")
    assert shelf.admit() == []
    due_ms = shelf.warehouse.plan_check(shelf.now_ms, shelf.is_busy)
    assert due_ms is not None
    shelf.now_ms = due_ms
    assert shelf.admit() == ["v4"]


def test_memory_that_is_short_sends_away_as_many_as_it_takes(shelf: Shelf) -> None:
    shelf.use("v1", 500)
    shelf.use("v2", 10**12)
    assert shelf.warehouse.needs_check(-1)
    shelf.busy = {"v2"}
    assert shelf.leaving() == ["v3", "v1"]
    shelf.busy = set()
    shelf.use("v2", 500)
    assert shelf.leaving() == ["v3"]


def test_unused_vats_leave_after_a_time_but_for_pinned_ones(shelf: Shelf) -> None:
    shelf.warehouse.pinned["v2"] = None
    shelf.now_ms = 50_000
    shelf.use("v3")
    due_ms = shelf.warehouse.plan_check(shelf.now_ms, shelf.is_busy)
    assert due_ms == 100_001
    assert not shelf.warehouse.needs_check(due_ms - 1)
    shelf.now_ms = due_ms
    assert shelf.warehouse.needs_check(due_ms)
    assert shelf.leaving() == ["v1"]


def test_pinned_vats_leave_only_for_memory(shelf: Shelf) -> None:
    shelf.warehouse.pinned["v1"] = None
    shelf.warehouse.want("v4")
    assert shelf.leaving() == ["v2"]
    shelf.warehouse.pinned["v3"] = None
    shelf.use("v1", 600)
    shelf.use("v3", 600)
    assert shelf.leaving() == ["v2", "v1"]


def test_a_vat_that_is_never_at_rest_gives_way_after_its_turn() -> None:
    shelf = Shelf(replace(SMALL, vat_turn_deliveries=5))
    shelf.fill("v1", "v2", "v3")
    for _ in range(5):
        shelf.use("v1")
    assert not shelf.warehouse.is_turn_over("v1")
    shelf.warehouse.want("v4")
    assert shelf.warehouse.is_turn_over("v1")
    assert not shelf.warehouse.is_turn_over("v2")
    shelf.warehouse.rested("v1")
    assert not shelf.warehouse.is_turn_over("v1")


def test_after_a_start_the_last_used_come_back_one_by_one_to_half_of_the_places() -> None:
    limits = replace(SMALL, vats_online_max=6, vats_preloaded_max=5)
    before = Shelf(limits)
    before.fill(*(f"v{number}" for number in range(1, 7)))
    before.use("v2")
    assert before.warehouse.list_recent() == ["v2", "v6", "v5", "v4", "v3"]
    shelf = Shelf(limits)
    shelf.warehouse.begin(before.warehouse.list_recent())
    brought = []
    while (vat := shelf.warehouse.find_preload(0, shelf.is_busy)) is not None:
        shelf.warehouse.came_in(vat, 0)
        shelf.busy = {vat}
        assert shelf.warehouse.find_preload(0, shelf.is_busy) is None
        shelf.busy = set()
        brought.append(vat)
    assert brought == ["v2", "v6", "v5"]


@pytest.mark.parametrize("seed", range(30))
def test_a_random_schedule_agrees_with_a_plain_model(seed: int) -> None:
    """The model: a list in order of use, a line of those that wait, and never more in than there are places."""
    chance = random.Random(seed)
    shelf = Shelf(replace(SMALL, vats_memory_bytes_max=10**9, vat_idle_seconds_max=10**6, vat_stuck_seconds=10**6))
    order: list[str] = []
    line: deque[str] = deque()
    for _ in range(300):
        vat = f"v{chance.randrange(8)}"
        match chance.choice(["want", "begin", "end", "end", "lose"]):
            case "want" if vat not in order and vat not in line:
                line.append(vat)
                shelf.warehouse.want(vat)
            case "begin" if vat in order:
                order.remove(vat)
                order.append(vat)
                shelf.warehouse.began(vat, shelf.now_ms)
                shelf.busy.add(vat)
            case "end" if vat in shelf.busy:
                shelf.busy.remove(vat)
                shelf.warehouse.used(vat, shelf.now_ms, 1)
            case "lose" if vat in order:
                order.remove(vat)
                shelf.busy.discard(vat)
                shelf.warehouse.left(vat)
            case _:
                pass
        idle = [each for each in order if each not in shelf.busy]
        for gone in idle[: max(0, min(len(line), len(order) + len(line) - 3))]:
            order.remove(gone)
        expected = [line.popleft() for _ in range(min(len(line), 3 - len(order)))]
        order += expected
        assert shelf.admit() == expected
        assert list(shelf.warehouse._places) == order
        assert len(order) <= 3


# --- in a host --------------------------------------------------------------------------------------


async def make_world(limits: Limits, vats: int) -> tuple[World, Asker, dict[str, str]]:
    world = World(limits=limits)
    await world.start()
    asker = Asker(world)
    asker.connect()
    await asker.launch(FILES, **{f"c{number}": CELL for number in range(vats)})
    return world, asker, {vat["name"]: vat["root"] for vat in (await asker.result("status"))["vats"]}


async def run_schedule(limits: Limits, seed: int) -> tuple[list[str], int]:
    """Random messages over ten vats; every answer, and the most vats that were in memory at once."""
    chance = random.Random(seed)
    world, asker, roots = await make_world(limits, 10)
    asking = []
    for number in range(150):
        name = chance.choice(sorted(roots))
        asking.append(asyncio.ensure_future(asker.send(roots[name], "add", str(number))))
        if chance.random() < 0.2:
            asking.append(asyncio.ensure_future(asker.send(roots["c0"], "relay", f"'{name}', {number}")))
        if chance.random() < 0.5:
            await asyncio.gather(*asking)
    answers = list(await asyncio.gather(*asking))
    answers += [await asker.send(root, "read") for root in roots.values()]
    return answers, world.realms_most


@pytest.mark.parametrize("seed", range(5))
def test_what_vats_do_does_not_depend_on_who_is_in_memory(seed: int) -> None:
    async def main() -> None:
        some = Limits(vats_online_max=3, snapshot_first_deliveries=2, snapshot_deliveries=4, vat_turn_deliveries=3)
        one = Limits(vats_online_max=1, snapshot_deliveries=10**6, snapshot_first_deliveries=10**6)
        everyone, most = await run_schedule(Limits(), seed)
        assert most == 10
        for limits in (some, one):
            answers, most = await run_schedule(limits, seed)
            # Two senders to one target have no order between them.
            assert sorted(map(len, answers)) == sorted(map(len, everyone))
            assert sorted(json.dumps(sorted(answer)) for answer in answers[-10:]) == sorted(
                json.dumps(sorted(answer)) for answer in everyone[-10:]
            )
            assert most <= limits.vats_online_max

    run_async(main())


def test_a_vat_that_hangs_holds_up_only_those_that_wait_for_its_place_and_only_for_a_while() -> None:
    async def main() -> None:
        _, asker, roots = await make_world(Limits(vats_online_max=1), 3)
        hanging = asyncio.ensure_future(asker.send(roots["c0"], "hang"))
        await asyncio.sleep(1)
        assert await asker.send(roots["c1"], "add", "1") == "1"
        assert await asker.send(roots["c2"], "add", "1") == "1"
        await asker.result("terminateVat", {"vat": "v1"})
        assert "terminated" in await hanging

    run_async(main())


def test_a_busy_vat_does_not_keep_others_out() -> None:
    async def main() -> None:
        _, asker, roots = await make_world(Limits(vats_online_max=1, vat_turn_deliveries=20), 2)
        busy = [asyncio.ensure_future(asker.send(roots["c0"], "add", str(number))) for number in range(600)]
        await asyncio.sleep(0.01)
        assert await asker.send(roots["c1"], "add", "1") == "1"
        assert sum(each.done() for each in busy) < 400
        assert await asyncio.gather(*busy) == [str(number) for number in range(1, 601)]

    run_async(main())


def test_a_vat_that_leaves_leaves_a_snapshot_and_comes_back_without_replay() -> None:
    async def main() -> None:
        world, asker, roots = await make_world(Limits(vats_online_max=1), 2)
        for number in range(6):
            assert await asker.send(roots[f"c{number % 2}"], "add", str(number)) == str(number // 2 + 1)
            await asyncio.sleep(1)
        kernel = world.host.kernel  # type: ignore[union-attr]
        vat, delivered = world.restored[-1]
        assert delivered == kernel.get_delivered(vat) - 1

    run_async(main())


def test_unused_vats_are_sent_away_and_the_host_rests() -> None:
    async def main() -> None:
        world, asker, roots = await make_world(Limits(vat_idle_seconds_max=100), 2)
        await asyncio.sleep(50)
        await asker.send(roots["c0"], "add", "1")
        await asyncio.sleep(60)
        assert sorted(world.realms) == ["v1"]
        await asyncio.sleep(60)
        assert not world.realms
        assert world.busy[-1] is False
        assert await asker.send(roots["c0"], "read") == "[1]"

    run_async(main())


def test_vats_that_were_in_come_back_after_a_start() -> None:
    async def main() -> None:
        limits = Limits(vats_online_max=4, vats_preloaded_max=2)
        world, asker, roots = await make_world(limits, 6)
        for name in ("c4", "c1"):
            await asker.send(roots[name], "add", "1")
        await asyncio.sleep(1)
        world.kill_host()
        for vat in list(world.realms):
            world.destroy(vat)
        await world.start()
        await asyncio.sleep(1)
        assert sorted(world.realms) == ["v2", "v5"]
        assert world.busy[-1] is False

    run_async(main())


def test_the_status_shows_who_is_in_memory() -> None:
    async def main() -> None:
        world, asker, _ = await make_world(Limits(vats_online_max=3), 5)
        await asyncio.sleep(1)
        status: dict[str, Any] = await asker.result("status")
        assert status["kernel"]["vats_online"] == len(world.realms) == 3
        assert status["kernel"]["vats_online_max"] == 3
        assert status["kernel"]["vats_waiting"] == 0
        assert sorted(vat["vat"] for vat in status["vats"] if vat.get("realm") == "ready") == sorted(world.realms)

    run_async(main())


def test_vats_are_brought_in_kept_and_sent_away_on_demand() -> None:
    async def main() -> None:
        world, asker, roots = await make_world(Limits(vats_online_max=2), 4)
        await asyncio.sleep(1)
        for vat in list(world.realms):
            assert await asker.result("evictVat", {"vat": vat}) == {"evicted": True}
        await asyncio.sleep(1)
        assert not world.realms
        assert await asker.result("evictVat", {"vat": "v1"}) == {"evicted": False}
        await asker.result("provideVat", {"vat": "v2"})
        await asker.result("keepVat", {"vat": "v3", "keep": True})
        await asyncio.sleep(1)
        assert sorted(world.realms) == ["v2", "v3"]
        await asker.send(roots["c1"], "read")
        for name in ("c0", "c3"):
            await asker.send(roots[name], "read")
            await asyncio.sleep(1)
        assert "v3" in world.realms
        await asker.result("keepVat", {"vat": "v3", "keep": False})
        for name in ("c0", "c1"):
            await asker.send(roots[name], "read")
            await asyncio.sleep(1)
        assert sorted(world.realms) == ["v1", "v2"]

    run_async(main())


@pytest.mark.parametrize(
    "method, params, reason",
    [
        ("provideVat", {"vat": "v9"}, "there is no vat 'v9'"),
        ("evictVat", {}, "params"),
        ("keepVat", {"vat": "v1", "keep": 1}, "params.keep"),
    ],
)
def test_a_malformed_request_about_memory_is_refused(method: str, params: dict[str, Any], reason: str) -> None:
    async def main() -> None:
        _, asker, _ = await make_world(Limits(), 1)
        assert reason in (await asker.call(method, params))["error"]["message"]

    run_async(main())


def test_many_vats_with_few_in_memory_answer_right_and_leave_nothing_behind() -> None:
    async def main() -> None:
        chance = random.Random(7)
        world, asker, roots = await make_world(Limits(vats_online_max=4), 60)
        turns = [name for name in roots for _ in range(5)]
        chance.shuffle(turns)
        answers = await asyncio.gather(*(asker.send(roots[name], "add", "1") for name in turns))
        assert sorted(answers) == sorted(str(number) for number in range(1, 6) for _ in roots)
        await asyncio.sleep(1)
        assert len(world.realms) <= 4
        assert world.host is not None
        # What a host keeps of a vat that is not in memory is nothing.
        assert sorted(world.host._realms._links) == sorted(world.realms)

    run_async(main())
