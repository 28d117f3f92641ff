"""Promises between real vats, in every order in which they can be made, sent, settled and awaited."""

from __future__ import annotations

import pytest

from kernel_py.hosts.memory import MemoryHost

SOURCE = """
from kernel_py.vat import E, Exo, make_promise

class Peer(Exo):
    def __init__(self):
        self.kept = {}
        self.resolvers = {}

    def bootstrap(self, vats, services):
        self.other = vats["b"]

    # --- what the other one does ---

    async def wait_for(self, promise):
        return ["got", await promise]

    def keep(self, name, value):
        self.kept[name] = value

    async def look_at(self, name):
        return await self.kept[name]

    def open(self, name):
        promise, self.resolvers[name] = make_promise()
        return promise

    def make(self, name):
        promise, self.resolvers[name] = make_promise()
        return [promise]

    def settle(self, name, value):
        self.resolvers[name].resolve(value)

    def fail(self, text):
        raise ValueError(text)

    def echo(self, value):
        return value

    def greet(self):
        return "hello"

    def get_self(self):
        return self

    def count_to(self, number):
        return Counting(number)

    # --- what is tried ---

    async def argument_resolved_before(self):
        promise, resolver = make_promise()
        resolver.resolve(1)
        return await E(self.other).wait_for(promise)

    async def argument_resolved_after(self):
        promise, resolver = make_promise()
        answer = E(self.other).wait_for(promise)
        resolver.resolve(2)
        return await answer

    async def argument_resolved_after_the_reply(self):
        promise, resolver = make_promise()
        await E(self.other).keep("x", promise)
        resolver.resolve(3)
        return await E(self.other).look_at("x")

    async def argument_rejected(self):
        promise, resolver = make_promise()
        answer = E(self.other).wait_for(promise)
        resolver.reject(KeyError("no"))
        try:
            await answer
        except KeyError as error:
            return "rejected"

    async def chain(self):
        first, resolver = make_promise()
        second = E(self.other).echo(first)
        third = E(self.other).echo(second)
        resolver.resolve(4)
        return await third

    async def cycle(self):
        promise, resolver = make_promise()
        answer = E(self.other).wait_for(promise)
        resolver.resolve([promise, 5])
        _, [again, five] = await answer
        return [five, (await again)[1]]

    async def cycle_over_cranks(self):
        [theirs] = await E(self.other).make("a")
        mine, resolver = make_promise()
        await E(self.other).settle("a", [mine])
        resolver.resolve([theirs, 6])
        [one] = await theirs
        [two, six] = await one
        [three] = await two
        return [six, (await three)[1]]

    async def crosswise(self):
        [one] = await E(self.other).make("one")
        [two] = await E(self.other).make("two")
        await E(self.other).settle("one", [two])
        await E(self.other).settle("two", [one, 7])
        [there] = await one
        return (await there)[1]

    async def indirect(self):
        opened = E(self.other).open("i")
        answer = E(self.other).wait_for(opened)
        await E(self.other).settle("i", 8)
        return await answer

    async def passed_result(self):
        return await E(self.other).echo(["got", await E(self.other).echo(9)])

    async def passed_result_promise(self):
        return await E(self.other).wait_for(E(self.other).echo(10))

    async def resolved_with_a_pipeline(self):
        promise, resolver = make_promise()
        answer = E(self.other).wait_for(promise)
        resolver.resolve(E(E(self.other).get_self()).greet())
        return await answer

    async def message_to_a_promise(self):
        opened = E(self.other).open("m")
        greeting = E(opened).greet()
        await E(self.other).settle("m", self)
        return await greeting

    async def message_to_a_promise_for_data(self):
        try:
            return await E(E(self.other).echo(11)).greet()
        except TypeError as error:
            return "TypeError"

    async def throwing_method(self):
        try:
            await E(self.other).fail("oh")
        except ValueError as error:
            return str(error)

    async def generator(self):
        counting, seen = await E(self.other).count_to(3), []
        while not (step := await E(counting).next())["done"]:
            seen.append(step["value"])
        return seen


class Counting(Exo):
    \"\"\"An asynchronous generator as an object: a generator itself stays in its vat.\"\"\"

    def __init__(self, number):
        self.steps = self.run(number)

    async def run(self, number):
        for value in range(number):
            yield value

    async def next(self):
        try:
            return {"value": await anext(self.steps), "done": False}
        except StopAsyncIteration:
            return {"value": None, "done": True}


def build_root_object(powers, parameters, baggage):
    return Peer()
"""

CASES = {
    "argument_resolved_before": "['got', 1]",
    "argument_resolved_after": "['got', 2]",
    "argument_resolved_after_the_reply": "3",
    "argument_rejected": "'rejected'",
    "chain": "4",
    "cycle": "[5, 5]",
    "cycle_over_cranks": "[6, 6]",
    "crosswise": "7",
    "indirect": "['got', 8]",
    "passed_result": "['got', 9]",
    "passed_result_promise": "['got', 10]",
    "resolved_with_a_pipeline": "['got', 'hello']",
    "message_to_a_promise": "'hello'",
    "message_to_a_promise_for_data": "'TypeError'",
    "throwing_method": "'oh'",
    "generator": "[0, 1, 2]",
}


@pytest.fixture(scope="module")
def root() -> tuple[MemoryHost, str]:
    host = MemoryHost()
    vats = {name: {"source": "peer.py"} for name in ("a", "b")}
    return host, host.launch({"bootstrap": "a", "vats": vats}, {"peer.py": SOURCE})["root"]


@pytest.mark.parametrize("method", CASES)
def test_a_promise_is_what_it_is_settled_to_however_it_travels(method: str, root: tuple[MemoryHost, str]) -> None:
    host, kref = root
    assert host.send(kref, method)["value"] == CASES[method]


@pytest.mark.parametrize("method", CASES)
def test_it_is_the_same_if_both_vats_come_back_by_replay_in_the_midst(method: str) -> None:
    host = MemoryHost()
    vats = {name: {"source": "peer.py"} for name in ("a", "b")}
    kref = host.launch({"bootstrap": "a", "vats": vats}, {"peer.py": SOURCE})["root"]
    host.post("send", {"target": kref, "method": method, "args": ""}, "asked")
    for _ in range(2):
        host.step()
    host = host.reopen()
    host.run()
    assert host.find_response("asked")["value"] == CASES[method]
