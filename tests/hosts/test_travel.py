"""Time travel in the asynchronous host: heaps of the past, and that the living vat knows nothing of them."""

from __future__ import annotations

from typing import Any

from kernel_py.wire.limits import Limits
from tests.hosts.realms import Asker, World
from tests.virtual_loop import run_async

LEDGER = """
from kernel_py.vat import Durable, E, Exo

NAMES = ["first"]

class Account(Durable):
    owner: str
    total: int = 0

class Ledger(Exo):
    def __init__(self, baggage):
        self.baggage = baggage
        self.count = 0

    def bootstrap(self, vats, services):
        self.other = vats.get("other")
        return None

    def add(self, amount):
        self.count += amount
        return self.count

    def open(self, owner):
        NAMES.append(owner)
        self.baggage[owner] = Account(owner=owner)
        return len(self.baggage)

    def __repr__(self):
        return f"<Ledger of {self.count}>"

def build_root_object(powers, parameters, baggage):
    return Ledger(baggage)
"""
FILES = {"ledger.py": LEDGER}
VAT = {"source": "ledger.py"}
FEW = Limits(snapshot_deliveries=5)


async def make_world(limits: Limits = FEW) -> tuple[World, Asker, str]:
    """A ledger that has had 9 deliveries: start, bootstrap, four additions, an account, two additions."""
    world = World(limits=limits)
    await world.start()
    asker = Asker(world)
    asker.connect()
    root = (await asker.launch(FILES, a=VAT, other=VAT))["root"]
    for amount in (1, 2, 3, 4):
        await asker.send(root, "add", str(amount))
    await asker.send(root, "open", "'ann'")
    await asker.send(root, "add", "10")
    assert await asker.send(root, "add", "20") == "40"
    return world, asker, root


async def value(asker: Asker, delivery: int, expression: str) -> Any:
    params = {"vat": "v1", "delivery": delivery, "expression": expression}
    return (await asker.result("travel", params))["value"]


async def find(asker: Asker, method: str) -> list[int]:
    rows = (await asker.result("deliveries", {"vat": "v1"}))["deliveries"]
    return [row["number"] for row in rows if row["method"] == method]


async def refused(asker: Asker, method: str, **params: Any) -> str:
    response = await asker.call(method, params)
    return str(response["error"]["message"])


def test_the_past_is_evaluated_and_the_present_stays() -> None:
    async def main() -> None:
        world, asker, root = await make_world()
        adds = await find(asker, "add")
        assert [await value(asker, number, "root.count") for number in adds] == ["1", "3", "6", "10", "20", "40"]
        assert await value(asker, adds[2], "root.add(1000)") == "1006"
        assert await value(asker, adds[2], "root.count") == "1006"
        assert await asker.send(root, "add", "2") == "42"
        assert await value(asker, adds[3], "root.count") == "10"
        assert world.host is not None
        assert {name for name in world.realms if "@" not in name} == {"v1", "v2"}

    run_async(main())


def test_it_comes_from_the_nearest_snapshot() -> None:
    async def main() -> None:
        world, asker, _ = await make_world()
        assert world.host is not None
        kept = world.host.kernel.get_mark("v1").kept
        assert kept
        world.restored.clear()
        await value(asker, kept[0] + 1, "root.count")
        await value(asker, 2, "root.count")
        assert world.restored == [(f"v1@{kept[0] + 1}", kept[0])]

    run_async(main())


def test_a_damaged_snapshot_is_told_and_not_needed() -> None:
    async def main() -> None:
        world, asker, _ = await make_world()
        assert world.host is not None
        kept = world.host.kernel.get_mark("v1").kept
        world.backend.chunks.clear()
        (last, *_) = reversed(await find(asker, "add"))
        seen = await asker.result("travel", {"vat": "v1", "delivery": last, "expression": "root.count"})
        assert seen["value"] == "40"
        assert "could not be used" in seen["note"]
        assert world.host.kernel.get_mark("v1").kept == kept

    run_async(main())


def test_what_there_is_is_listed() -> None:
    async def main() -> None:
        _, asker, _ = await make_world()
        (opened,) = await find(asker, "open")
        seen = await asker.result("travel", {"vat": "v1", "delivery": opened})
        rows = {(group, name): (kind, text) for group, name, kind, text in seen["objects"]}
        assert rows["export", "o+0"] == ("Ledger", "<Ledger of 10>")
        assert rows["global", "NAMES"] == ("list", "['first', 'ann']")
        assert rows["kind", "Account"][1].endswith(".Account")
        assert rows["baggage", "'ann'"][0] == "Account"
        assert any(group == "presence" for group, _ in rows)
        assert any("ann" in text for _, text in seen["store"])
        before = await asker.result("travel", {"vat": "v1", "delivery": opened - 1})
        assert "baggage 'ann'" not in {f"{row[0]} {row[1]}" for row in before["objects"]}

    run_async(main())


def test_two_points_are_compared() -> None:
    async def main() -> None:
        _, asker, _ = await make_world()
        (opened,) = await find(asker, "open")
        found = await asker.result("compareTravels", {"vat": "v1", "delivery": opened - 1, "other": opened})
        objects = {row["name"]: row for row in found["objects"]}
        assert objects["baggage 'ann'"]["change"] == "appeared"
        assert objects["global NAMES"] == {
            "change": "changed",
            "name": "global NAMES",
            "before": "['first']",
            "after": "['first', 'ann']",
        }
        assert "export o+0" not in objects
        assert "appeared" in {row["change"] for row in found["store"]}
        back = await asker.result("compareTravels", {"vat": "v1", "delivery": opened, "other": opened - 1})
        assert {row["name"]: row["change"] for row in back["objects"]}["baggage 'ann'"] == "vanished"

    run_async(main())


def test_nothing_leaves_a_heap_of_the_past() -> None:
    async def main() -> None:
        world, asker, root = await make_world()
        assert world.host is not None
        (last, *_) = reversed(await find(asker, "add"))
        delivered = world.host.kernel.get_delivered("v2")
        seen = await asker.result("travel", {"vat": "v1", "delivery": last, "expression": "await E(root.other).add(5)"})
        assert seen["type"] == "pending"
        assert await value(asker, last, "print('x') or root.baggage.clear()") == "None"
        assert world.host.kernel.get_delivered("v2") == delivered
        assert await asker.send(root, "open", "'bob'") == "2"

    run_async(main())


def test_what_an_expression_raises_is_shown() -> None:
    async def main() -> None:
        _, asker, _ = await make_world()
        seen = await asker.result("travel", {"vat": "v1", "delivery": 3, "expression": "root.no_such"})
        assert "AttributeError" in seen["error"]
        seen = await asker.result("travel", {"vat": "v1", "delivery": 3, "expression": "import x"})
        assert "SyntaxError" in seen["error"]

    run_async(main())


def test_requests_that_cannot_be_met_say_why() -> None:
    async def main() -> None:
        world, asker, _ = await make_world()
        assert "deliveries 1 to" in await refused(asker, "travel", vat="v1", delivery=100)
        assert "deliveries 1 to" in await refused(asker, "travel", vat="v1", delivery=0)
        assert "v9" in await refused(asker, "travel", vat="v9", delivery=1)
        assert "first is at least 1" in await refused(asker, "deliveries", vat="v1", first=0)
        assert "delivery" in await refused(asker, "travel", vat="v1")
        assert not [name for name in world.realms if "@" in name]

    run_async(main())


def test_there_are_only_so_many_and_they_end() -> None:
    async def main() -> None:
        world, asker, _ = await make_world(Limits(travels_max=2, snapshot_deliveries=5))
        for number in (2, 3, 4):
            await value(asker, number, "root.count")
        assert sorted(name for name in world.realms if "@" in name) == ["v1@3", "v1@4"]
        await asker.result("endTravel", {"vat": "v1"})
        assert not [name for name in world.realms if "@" in name]

    run_async(main())


def test_a_realm_that_dies_is_made_again() -> None:
    async def main() -> None:
        world, asker, _ = await make_world()
        assert await value(asker, 3, "root.add(7)") == "8"
        world.kill_realm("v1@3")
        assert await value(asker, 3, "root.count") == "1"

    run_async(main())


def test_those_of_an_earlier_host_are_ended() -> None:
    async def main() -> None:
        world, asker, root = await make_world()
        await value(asker, 3, "root.count")
        world.kill_host()
        await world.start()
        asker.connect()
        assert await asker.send(root, "add", "2") == "42"
        assert not [name for name in world.realms if "@" in name]

    run_async(main())


def test_each_incarnation_is_itself() -> None:
    async def main() -> None:
        world, asker, root = await make_world()
        assert world.host is not None
        old = world.host.kernel.get_delivered("v1")
        newer = {"ledger.py": LEDGER.replace("self.count = 0", "self.count = 500")}
        await asker.result("upgradeVat", {"vat": "v1", "files": newer})
        assert await asker.send(root, "add", "2") == "502"
        now = world.host.kernel.get_delivered("v1")
        assert await value(asker, now, "root.count, list(baggage)") == "(502, ['ann'])"
        assert await value(asker, old, "root.count, list(baggage)") == "(40, ['ann'])"

    run_async(main())
