"""The asynchronous host over real sessions: what leaves when, and what survives whose death."""

from __future__ import annotations

import ast
import asyncio
import json
import random
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from kernel_py.core import schema
from kernel_py.core.archive import import_archive
from kernel_py.wire.limits import Limits
from tests.hosts.realms import Asker, World
from tests.virtual_loop import run_async

SOURCE = """
from kernel_py.vat import E, Exo, make_promise

class Cell(Exo):
    def __init__(self):
        self.seen = []
        self.pending = {}

    def bootstrap(self, vats, services):
        self.vats = vats

    def add(self, item):
        self.seen.append(item)
        return len(self.seen)

    def read(self):
        return self.seen

    async def relay(self, name, item):
        "Have another vat add, then add here: two vats must agree."
        count = await E(self.vats[name]).add(item)
        return [count, self.add(item)]

    def hang(self):
        raise AssertionError("the realm hangs before this")

    def wait_for(self, name):
        promise, self.pending[name] = make_promise()
        return promise

    def fulfil(self, name, value):
        self.pending.pop(name).resolve(value)

def build_root_object(powers, parameters, baggage):
    return Cell()
"""

FILES = {"cell.py": SOURCE}
CELL = {"source": "cell.py"}


def in_world(test: Callable[[World, Asker], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    """Run a test in a fresh world with a started host and a connected client."""

    async def main() -> None:
        world = World()
        await world.start()
        asker = Asker(world)
        asker.connect()
        await test(world, asker)

    def run() -> None:
        run_async(main())

    run.__name__ = test.__name__
    run.__doc__ = test.__doc__
    return run


def stored_kernel(world: World) -> dict[str, str]:
    return world.backend.texts


@in_world
async def test_a_cluster_is_launched_and_answers(world: World, asker: Asker) -> None:
    cluster = await asker.launch(FILES, a=CELL, b=CELL)
    assert await asker.send(cluster["root"], "relay", "'b', 'x'") == "[1, 1]"


@in_world
async def test_an_answer_leaves_only_after_its_cause_is_durable(world: World, asker: Asker) -> None:
    cluster = await asker.launch(FILES, a=CELL)
    world.backend.commit_s = 5.0
    asking = asyncio.ensure_future(asker.send(cluster["root"], "add", "1"))
    await asyncio.sleep(4.0)
    assert not asking.done()
    assert await asking == "1"
    request = next(text for key, text in stored_kernel(world).items() if key.startswith(f"{schema.REQUESTS}."))
    assert "fulfilled" in request


@in_world
async def test_deliveries_do_not_wait_for_commits_and_commits_are_grouped(world: World, asker: Asker) -> None:
    cluster = await asker.launch(FILES, a=CELL)
    world.backend.commit_s = 1.0
    commits = world.backend.commits
    await asyncio.gather(*(asker.send(cluster["root"], "add", str(n)) for n in range(50)))
    assert world.backend.commits - commits <= 4  # a snapshot is durable before the vat goes on


@in_world
async def test_a_hung_vat_delays_nobody(world: World, asker: Asker) -> None:
    cluster = await asker.launch(FILES, a=CELL, b=CELL)
    status = await asker.result("status")
    roots = {vat["name"]: vat["root"] for vat in status["vats"]}
    hanging = asyncio.ensure_future(asker.call("send", {"target": roots["b"], "method": "hang", "args": ""}))
    await asyncio.sleep(1)
    start = asyncio.get_running_loop().time()
    assert await asker.send(roots["a"], "add", "1") == "1"
    status = await asker.result("status")
    assert [vat["inflight"] for vat in status["vats"]] == [False, True]
    assert not hanging.done()
    await asker.result("terminateVat", {"vat": cluster["vats"]["b"]})
    assert asyncio.get_running_loop().time() - start < 0.2
    assert (await hanging)["result"]["value"] == "Error('vat terminated')"


@in_world
async def test_a_new_host_goes_on_with_the_living_realms(world: World, asker: Asker) -> None:
    cluster = await asker.launch(FILES, a=CELL, b=CELL)
    await asker.send(cluster["root"], "add", "'before'")
    world.created.clear()
    world.kill_host()
    await world.start()
    asker.connect()
    assert await asker.send(cluster["root"], "read") == "['before']"
    assert world.created == []


@in_world
async def test_vats_whose_realms_are_gone_come_back_by_replay(world: World, asker: Asker) -> None:
    cluster = await asker.launch(FILES, a=CELL, b=CELL)
    await asker.send(cluster["root"], "relay", "'b', 'before'")
    world.kill_host()
    for vat in list(world.realms):
        world.destroy(vat)
    await world.start()
    asker.connect()
    assert await asker.send(cluster["root"], "relay", "'b', 'after'") == "[2, 2]"


@in_world
async def test_a_promise_pending_over_a_restart_settles_after_it(world: World, asker: Asker) -> None:
    cluster = await asker.launch(FILES, a=CELL)
    waiting = asyncio.ensure_future(asker.send(cluster["root"], "wait_for", "'dawn'"))
    await asyncio.sleep(1)
    world.kill_host()
    for vat in list(world.realms):
        world.destroy(vat)
    await world.start()
    asker.connect()
    await asker.send(cluster["root"], "fulfil", "'dawn', 'light'")
    assert await waiting == "'light'"


@in_world
async def test_a_realm_that_dies_under_a_delivery_is_replaced_and_the_delivery_done_once(
    world: World, asker: Asker
) -> None:
    cluster = await asker.launch(FILES, a=CELL)
    world.realms["v1"].delay_s = 1.0
    adding = asyncio.ensure_future(asker.send(cluster["root"], "add", "'x'"))
    await asyncio.sleep(0.5)
    world.kill_realm("v1")
    assert await adding == "1"
    assert await asker.send(cluster["root"], "read") == "['x']"


@in_world
async def test_a_message_that_kills_its_worker_each_time_is_rejected_and_the_vat_lives_on(
    world: World, asker: Asker
) -> None:
    cluster = await asker.launch(FILES, a=CELL)
    await asker.send(cluster["root"], "add", "'before'")
    assert "the worker of v1 died 3 times under this message" in await asker.send(cluster["root"], "die")
    assert world.created == ["v1"] * 3
    assert await asker.send(cluster["root"], "add", "'after'") == "2"


@in_world
async def test_realms_that_die_before_they_have_the_message_are_not_laid_at_its_door(
    world: World, asker: Asker
) -> None:
    cluster = await asker.launch(FILES, a=CELL)
    world.realm_s = 1.0
    world.kill_realm("v1")
    adding = asyncio.ensure_future(asker.send(cluster["root"], "add", "'x'"))
    for _ in range(3):
        await asyncio.sleep(0.5)
        world.kill_realm("v1")
    assert await adding == "1"


@in_world
async def test_a_vat_whose_transcript_is_damaged_stays_offline_alone_and_says_so(world: World, asker: Asker) -> None:
    cluster = await asker.launch(FILES, a=CELL, b=CELL)
    await asker.send(cluster["root"], "relay", "'b', 'x'")
    entries = world.backend.transcripts[cluster["vats"]["b"]]
    last = max(entries)
    entries[last] = entries[last].replace('"#\\"+1\\""', '"#\\"+7\\""').replace("+1", "+7")
    world.kill_host()
    for vat in list(world.realms):
        world.destroy(vat)
    await world.start()
    asker.connect()
    relaying = asyncio.ensure_future(
        asker.call("send", {"target": cluster["root"], "method": "relay", "args": "'b', 1"})
    )
    await asyncio.sleep(1)
    assert not relaying.done()
    assert await asker.send(cluster["root"], "read") == "['x']"
    vats = {vat["name"]: vat for vat in (await asker.result("status"))["vats"]}
    assert vats["b"]["realm"] == "broken"
    assert cluster["vats"]["b"] in vats["b"]["fault"]
    await asker.result("terminateVat", {"vat": cluster["vats"]["b"]})
    assert "vat terminated" in (await relaying)["result"]["value"]


@in_world
async def test_pitfall_12_a_missing_bundle_breaks_one_vat_and_not_the_boot(world: World, asker: Asker) -> None:
    first = await asker.launch(FILES, a=CELL)
    second = await asker.launch({"cell.py": SOURCE + "# other"}, a=CELL)
    bundle = json.loads(stored_kernel(world)["clusters.c1"])[6]
    del world.backend.bundles[bundle]
    world.kill_host()
    for vat in list(world.realms):
        world.destroy(vat)
    await world.start()
    asker.connect()
    stuck = asyncio.ensure_future(asker.send(first["root"], "add", "1"))
    assert await asker.send(second["root"], "add", "1") == "1"
    vats = {vat["vat"]: vat for vat in (await asker.result("status"))["vats"]}
    assert f"no bundle {bundle}" in vats["v1"]["fault"]
    assert not stuck.done()
    stuck.cancel()


@in_world
async def test_a_running_host_exports_a_state_from_which_another_goes_on(world: World, asker: Asker) -> None:
    cluster = await asker.launch(FILES, a=CELL, b=CELL)
    sending = [asyncio.ensure_future(asker.send(cluster["root"], "relay", f"'b', {n}")) for n in range(30)]
    counts = []
    for _ in range(5):
        archive: list[bytes] = []
        await world.host.export(archive.append)  # type: ignore[union-attr]
        other = World()
        await import_archive(other.backend, archive)
        await other.start()
        there = Asker(other)
        there.connect()
        agreed = [await there.send(cluster["root"], "read")]
        root = next(vat["root"] for vat in (await there.result("status"))["vats"] if vat["name"] == "b")
        agreed.append(await there.send(root, "read"))
        assert agreed[0] == agreed[1]
        counts.append(len(ast.literal_eval(agreed[0])))
        await asyncio.sleep(0.01)
    await asyncio.gather(*sending)
    assert len(ast.literal_eval(await asker.send(cluster["root"], "read"))) == 30
    assert counts == sorted(counts)
    assert counts[0] < 30


@in_world
async def test_a_vat_that_comes_back_during_an_export_waits_for_its_transcript(world: World, asker: Asker) -> None:
    cluster = await asker.launch(FILES, a=CELL)
    list_bundles = world.backend.list_bundles

    async def list_slowly() -> list[str]:
        await asyncio.sleep(5)
        return await list_bundles()

    world.backend.list_bundles = list_slowly  # type: ignore[method-assign]
    archive: list[bytes] = []
    exporting = asyncio.ensure_future(world.host.export(archive.append))  # type: ignore[union-attr]
    sending = [asyncio.ensure_future(asker.send(cluster["root"], "add", str(n))) for n in range(3)]
    await asyncio.sleep(1)
    assert not any(send.done() for send in sending)
    world.kill_realm("v1")
    sending.append(asyncio.ensure_future(asker.send(cluster["root"], "add", "3")))
    await exporting
    assert await asyncio.gather(*sending) == ["1", "2", "3", "4"]


@in_world
async def test_while_nothing_can_be_stored_new_work_is_refused_and_queries_are_answered(
    world: World, asker: Asker
) -> None:
    cluster = await asker.launch(FILES, a=CELL)
    add = {"target": cluster["root"], "method": "add", "args": "1"}
    world.backend.fails_with = "the disk is full"
    for _ in range(2):
        response = await asker.call("send", add)
        assert response["error"]["message"] == "the disk is full; nothing new is begun until it can be stored"
        assert response["error"]["data"]["kind"] == "StoreError"
    assert (await asker.result("status"))["kernel"]["store_failure"].startswith("the disk is full")
    assert (await asker.result("objects"))["total"] > 0
    assert world.busy[-1] is False
    world.backend.fails_with = None
    await asyncio.sleep(6)
    assert (await asker.result("status"))["kernel"]["store_failure"] == ""
    assert await asker.send(cluster["root"], "read") == "[1]"


@in_world
async def test_what_could_not_be_stored_is_carried_out_once_when_it_can_be(world: World, asker: Asker) -> None:
    cluster = await asker.launch(FILES, a=CELL)
    world.backend.fails_with = "the disk is full"
    answers: list[dict[str, Any]] = []
    assert world.host is not None
    client = world.host.connect(lambda text: answers.append(json.loads(text)))
    params = {"target": cluster["root"], "method": "add", "args": "1"}
    text = json.dumps({"jsonrpc": "2.0", "id": "once", "method": "send", "params": params})
    client.receive(text)
    await asyncio.sleep(1)
    assert "the disk is full" in answers.pop()["error"]["message"]
    world.backend.fails_with = None
    await asyncio.sleep(10)
    client.receive(text)
    await asyncio.sleep(1)
    assert answers.pop()["result"]["value"] == "1"
    assert await asker.send(cluster["root"], "read") == "[1]"


@in_world
async def test_a_host_that_ends_with_a_full_disk_leaves_a_consistent_store(world: World, asker: Asker) -> None:
    cluster = await asker.launch(FILES, a=CELL, b=CELL)
    sending = [asyncio.ensure_future(asker.call("send", relay(cluster["root"], number))) for number in range(20)]
    await asyncio.sleep(0.03)
    world.backend.fails_with = "the disk is full"
    await asyncio.gather(*sending)
    world.kill_realm("v2")
    await asyncio.sleep(20)
    world.backend.fails_with = None
    world.kill_host()
    await world.start()
    asker.connect()
    await asyncio.sleep(1)
    roots = {vat["name"]: vat["root"] for vat in (await asker.result("status"))["vats"]}
    assert await asker.send(roots["a"], "read") == await asker.send(roots["b"], "read")


def relay(root: str, number: int) -> dict[str, str]:
    return {"target": root, "method": "relay", "args": f"'b', {number}"}


def test_a_store_of_a_newer_schema_is_refused_with_a_clear_error_and_left_alone() -> None:
    async def main() -> None:
        world = World()
        world.backend.texts = {"kernel.schema": "999", "something.new": "1"}
        before = dict(world.backend.texts)
        await world.start()
        asker = Asker(world)
        asker.connect()
        response = await asker.call("status")
        assert f"schema version 999, this kernel reads {schema.SCHEMA_VERSION}" in response["error"]["message"]
        assert world.backend.texts == before

    run_async(main())


@in_world
async def test_requests_made_before_the_boot_is_through_are_answered_after_it(world: World, asker: Asker) -> None:
    cluster = await asker.launch(FILES, a=CELL)
    world.kill_host()
    starting = asyncio.ensure_future(world.start())
    await asyncio.sleep(0)
    asker.connect()
    adding = asyncio.ensure_future(asker.send(cluster["root"], "add", "1"))
    await starting
    assert await adding == "1"


@in_world
async def test_a_command_asked_again_is_done_once_and_answered_alike(world: World, asker: Asker) -> None:
    cluster = await asker.launch(FILES, a=CELL)
    answers: list[str] = []
    assert world.host is not None
    client = world.host.connect(answers.append)
    params = {"target": cluster["root"], "method": "add", "args": "1"}
    text = json.dumps({"jsonrpc": "2.0", "id": "once", "method": "send", "params": params})
    client.receive(text)
    client.receive(text)
    await asyncio.sleep(1)
    client.receive(text)
    await asyncio.sleep(1)
    assert len(answers) == 3
    assert len(set(answers)) == 1
    assert await asker.send(cluster["root"], "read") == "[1]"


@in_world
async def test_subscribers_see_the_traffic_and_others_do_not(world: World, asker: Asker) -> None:
    watcher = Asker(world)
    watcher.connect(subscribe=True)
    cluster = await asker.launch(FILES, a=CELL, b=CELL)
    await asker.send(cluster["root"], "relay", "'b', 'x'")
    classes = [event["class"] for event in watcher.events]
    assert {"Cluster", "Vat", "Got", "Sent", "Fulfilled", "Notified"} <= set(classes)
    assert asker.events == []
    assert watcher.client is not None
    watcher.client.close()
    count = len(watcher.events)
    await asker.send(cluster["root"], "add", "1")
    assert len(watcher.events) == count


@in_world
async def test_the_host_is_busy_exactly_while_there_is_work(world: World, asker: Asker) -> None:
    await asyncio.sleep(1)
    world.busy.clear()
    cluster = await asker.launch(FILES, a=CELL)
    await asyncio.sleep(1)
    assert world.busy[0] is True
    assert world.busy[-1] is False
    hanging = asyncio.ensure_future(asker.call("send", {"target": cluster["root"], "method": "hang", "args": ""}))
    await asyncio.sleep(1)
    assert world.busy[-1] is True
    hanging.cancel()


def test_the_retry_limit_is_the_one_of_the_limits() -> None:
    async def main() -> None:
        world = World(limits=Limits(delivery_attempts_max=1))
        await world.start()
        asker = Asker(world)
        asker.connect()
        cluster = await asker.launch(FILES, a=CELL)
        assert "died 1 times" in await asker.send(cluster["root"], "die")

    run_async(main())


@pytest.mark.parametrize("seed", range(12))
def test_killed_at_any_moment_no_message_is_lost_and_none_done_twice(seed: int) -> None:
    """Traffic over two vats while hosts and realms are killed at random moments."""
    chance = random.Random(seed)

    async def main() -> None:
        world = World(realm_s=0.002, commit_s=0.003)
        await world.start()
        asker = Asker(world)
        asker.connect()
        cluster = await asker.launch(FILES, a=CELL, b=CELL)
        asking = [asyncio.ensure_future(asker.send(cluster["root"], "relay", f"'b', {n}")) for n in range(40)]
        for _ in range(15):
            await asyncio.sleep(chance.uniform(0, 0.04))
            if chance.random() < 0.3 and world.realms:
                world.kill_realm(chance.choice(sorted(world.realms)))
                continue
            world.kill_host()
            if chance.random() < 0.3:
                for vat in sorted(world.realms):
                    world.destroy(vat)
            await asyncio.sleep(chance.uniform(0, 0.01))
            await world.start()
            asker.connect()
        answers = await asyncio.gather(*asking)
        assert sorted(answers) == sorted(f"[{n}, {n}]" for n in range(1, 41))
        status = await asker.result("status")
        roots = {vat["name"]: vat["root"] for vat in status["vats"]}
        for name in "ab":
            assert sorted(json.loads(await asker.send(roots[name], "read"))) == list(range(40))
        assert status["kernel"]["inflight"] == 0

    run_async(main())
