"""Real vats use services: in the in-process host, and in the asynchronous one, which is killed meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from kernel_py.core.services.service import HostService
from kernel_py.hosts.memory import MemoryHost
from kernel_py.hosts.services import Service
from tests.hosts.realms import Asker, World
from tests.virtual_loop import run_async

SOURCE = """
from kernel_py.vat import E, Exo

class Sleeper(Exo):
    def __init__(self):
        self.seen = []

    def bootstrap(self, vats, services):
        self.services = services

    async def sleep(self, seconds):
        before = await E(self.services["timer"]).now()
        after = await E(self.services["timer"]).delay(seconds)
        return after - before

    async def start(self, interval):
        self.canceller = await E(self.services["timer"]).repeat(interval, interval, self)

    async def stop(self):
        return await E(self.canceller).cancel()

    def wake(self, time):
        self.seen.append(time)
        if len(self.seen) == 4:
            raise RuntimeError("enough")

    def read(self):
        return self.seen

    def forget(self):
        self.canceller = None

    async def call(self, service, method, *args):
        try:
            return await getattr(E(self.services[service]), method)(*args)
        except Exception as error:
            return [type(error).__mro__[-3].__name__, isinstance(error, PermissionError), str(error)]

def build_root_object(powers, parameters, baggage):
    return Sleeper()
"""

FILES = {"vat.py": SOURCE}


class Shop:
    """A service of the host's that counts what it did."""

    def __init__(self) -> None:
        self.sold: list[object] = []
        self.wait: asyncio.Event | None = None

    async def __call__(self, method: str, args: list[Any], kwargs: dict[str, Any], config: Any) -> object:
        del kwargs
        if self.wait is not None:
            await self.wait.wait()
        self.sold.append(args)
        if args == [0]:
            raise PermissionError("nothing for nothing")
        return [method, len(self.sold), config]


def shop_service(shop: Shop, *, is_idempotent: bool = False) -> Service:
    return Service(HostService("shop", ("buy",), {"type": "object"}, is_idempotent=is_idempotent), shop)


def config(*services: Any) -> dict[str, Any]:
    return {"bootstrap": "vat", "services": list(services), "vats": {"vat": {"source": "vat.py"}}}


def launch(*services: Any, hosted: tuple[Service, ...] = ()) -> tuple[MemoryHost, str]:
    host = MemoryHost(services=hosted)
    return host, host.launch(config(*services), FILES)["root"]


# --- the in-process host ----------------------------------------------------------------------------


def test_a_vat_sleeps_and_its_host_does_not() -> None:
    host, root = launch("timer")
    slept = float(host.send(root, "sleep", "3600")["value"])
    assert 3_600 <= slept < 3_600.1


def test_a_handler_is_woken_until_it_raises() -> None:
    host, root = launch("timer")
    host.send(root, "start", "10")
    host.pass_time(35)
    first = host.send(root, "read")["value"]
    assert first.count(",") == 2
    host.pass_time(60)
    assert host.send(root, "read")["value"].count(",") == 3
    assert host.kernel.next_due_ms is None


def test_a_repeat_is_cancelled_and_its_canceller_collected() -> None:
    host, root = launch("timer")
    host.send(root, "start", "10")
    assert host.send(root, "stop")["value"] == "True"
    host.pass_time(100)
    assert host.send(root, "read")["value"] == "[]"
    host.send(root, "forget")
    host.request("collectGarbage", {})
    host.run()
    assert [row["iface"] for row in host.request("objects")["objects"]] == ["root of vat", "timer"]


def test_exceptions_of_services_are_the_builtins_that_they_are() -> None:
    shop = Shop()
    host, root = launch("timer", {"shop": {"rate": 2}}, hosted=(shop_service(shop),))
    assert host.send(root, "call", "'shop', 'buy', 1")["value"] == "['buy', 1, {'rate': 2}]"
    assert "True, 'nothing for nothing'" in host.send(root, "call", "'shop', 'buy', 0")["value"]
    assert "shop has no method 'steal'; it has buy" in host.send(root, "call", "'shop', 'steal'")["value"]
    assert "a delay is a number of seconds" in host.send(root, "call", "'timer', 'delay', 'x'")["value"]


def test_pitfall_08_what_a_timer_set_off_is_there_after_a_restart() -> None:
    host, root = launch("timer")
    host.send(root, "start", "10")
    host.pass_time(25)
    seen = host.send(root, "read")["value"]
    assert seen.count(",") == 1
    host = host.reopen()
    assert host.send(root, "read")["value"] == seen
    host.pass_time(10)
    assert host.send(root, "read")["value"].startswith(seen[:-1])
    assert host.send(root, "read")["value"].count(",") == 2


def test_a_vat_that_used_services_is_replayed_without_them() -> None:
    shop = Shop()
    host, root = launch("timer", "random", "log", "shop", hosted=(shop_service(shop),))
    calls = ["'shop', 'buy', 5", "'random', 'bytes', 4", "'timer', 'now'", "'log', 'info', 'hello'"]
    for call in calls:
        assert host.send(root, "call", call)["status"] == "fulfilled"
    host.send(root, "sleep", "5")
    bare = MemoryHost(host.backend)  # has no shop
    bare.kernel.observe(is_observed=True)
    assert bare.send(root, "read")["value"] == "[]"
    assert shop.sold == [[5]]
    assert not [event for event in bare.events if event["class"] == "Logged"]
    assert "this kernel has no service 'shop'" in bare.send(root, "call", "'shop', 'buy', 6")["value"]


# --- the asynchronous host --------------------------------------------------------------------------


async def launched(*services: Any, hosted: tuple[Service, ...] = ()) -> tuple[World, Asker, str]:
    world = World(services=hosted)
    await world.start()
    asker = Asker(world)
    asker.connect()
    root = (await asker.result("launch", {"config": config(*services), "files": FILES}))["root"]
    return world, asker, root


def test_the_host_wakes_itself_when_a_timer_is_due() -> None:
    async def main() -> None:
        world, asker, root = await launched("timer")
        loop = asyncio.get_running_loop()
        before = loop.time()
        assert float(await asker.send(root, "sleep", "100000")) >= 100_000
        assert loop.time() - before < 100_001
        assert world.due_ms is None
        await asyncio.sleep(1)
        assert world.busy[-1] is False

    run_async(main())


def test_whoever_must_wake_the_host_knows_the_time_before_the_timer_is_durable() -> None:
    async def main() -> None:
        world, asker, root = await launched("timer")
        told: list[tuple[int | None, bool]] = []
        note = world._note_due

        def note_due(due_ms: int | None) -> None:
            told.append((due_ms, any(key.startswith("timers.") for key in world.backend.texts)))
            note(due_ms)

        assert world.host is not None
        world.host._on_due = note_due
        task = asyncio.create_task(asker.send(root, "sleep", "5"))
        await asyncio.sleep(1)
        (due_ms, was_durable), *_ = told
        assert due_ms is not None
        assert not was_durable
        assert not world.host.kernel.is_busy  # it may be stopped
        await task

    run_async(main())


def test_a_sleep_goes_on_when_the_host_is_killed_and_started_again() -> None:
    async def main() -> None:
        world, asker, root = await launched("timer")
        task = asyncio.create_task(asker.send(root, "sleep", "50"))
        await asyncio.sleep(10)
        world.kill_host()
        assert world.due_ms is not None
        await asyncio.sleep(world.due_ms / 1000 - asyncio.get_running_loop().time())
        await world.start()  # as an alarm does
        asker.connect()
        assert 50 <= float(await task) < 51

    run_async(main())


def test_a_timer_that_fell_due_while_there_was_no_host_fires_at_once() -> None:
    async def main() -> None:
        world, asker, root = await launched("timer")
        task = asyncio.create_task(asker.send(root, "sleep", "5"))
        await asyncio.sleep(1)
        world.kill_host()
        await asyncio.sleep(1_000)
        await world.start()
        asker.connect()
        assert 1_000 <= float(await task) < 1_002

    run_async(main())


def with_shop(test: Callable[[Shop, World, Asker, str], Any], *, is_idempotent: bool = False) -> Shop:
    shop = Shop()

    async def main() -> None:
        world, asker, root = await launched("shop", hosted=(shop_service(shop, is_idempotent=is_idempotent),))
        await test(shop, world, asker, root)

    run_async(main())
    return shop


def test_a_call_keeps_the_host_alive_until_it_is_answered() -> None:
    async def test(shop: Shop, world: World, asker: Asker, root: str) -> None:
        shop.wait = asyncio.Event()
        task = asyncio.create_task(asker.send(root, "call", "'shop', 'buy', 1"))
        await asyncio.sleep(10)
        assert world.busy[-1] is True
        shop.wait.set()
        assert await task == "['buy', 1, {}]"
        await asyncio.sleep(1)
        assert world.busy[-1] is False

    with_shop(test)


@pytest.mark.parametrize("is_idempotent", [False, True])
def test_pitfall_18_a_call_that_a_kill_interrupted_is_not_made_twice_unless_it_may_be(is_idempotent: bool) -> None:
    async def test(shop: Shop, world: World, asker: Asker, root: str) -> None:
        shop.wait = asyncio.Event()
        task = asyncio.create_task(asker.send(root, "call", "'shop', 'buy', 1"))
        await asyncio.sleep(10)
        world.kill_host()
        shop.wait.set()
        await world.start()
        asker.connect()
        answer = await task
        assert ("'buy', 1" in answer) is is_idempotent
        assert ("interrupted" in answer) is not is_idempotent

    shop = with_shop(test, is_idempotent=is_idempotent)
    assert shop.sold == ([[1]] if is_idempotent else [])


def test_pitfall_18_a_call_is_made_only_after_the_commit_that_holds_it() -> None:
    async def test(shop: Shop, world: World, asker: Asker, root: str) -> None:
        world.backend.fails_with = "the disk is full"
        task = asyncio.create_task(asker.call("send", {"target": root, "method": "call", "args": "'shop', 'buy', 1"}))
        await asyncio.sleep(10)
        assert "the disk is full" in (await task)["error"]["message"]

    assert with_shop(test).sold == []
