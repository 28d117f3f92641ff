"""The vat author's kit: vats in memory, with the test for a vat among them."""

from __future__ import annotations

import json

import pytest

from kernel_py.hosts.memory import RequestFailed
from kernel_py.hosts.native.cluster_files import read_cluster
from kernel_py.testing import Vats
from kernel_py.testing.plugin import show_console
from kernel_py.testing.vats import START_MS
from kernel_py.vat import E, Exo, MarshalError, Presence, Promise, Tagged, make_promise
from tests.conftest import ROOT


class Counter(Exo):
    def __init__(self, count: int = 0):
        self.count = count

    def increment(self, by: int = 1) -> int:
        self.count += by
        print("count is", self.count)  # noqa: T201
        return self.count

    def make(self):
        return Counter(100)

    def echo(self, value):
        return value

    def fail(self, error):
        raise error

    async def ask(self, other):
        return await E(other).increment() * 10


class Gate(Exo):
    def __init__(self):
        self.promise, self.resolver = make_promise()

    def wait(self):
        return self.promise

    def open(self, value):
        self.resolver.resolve(value)


def build_clock(powers, parameters, baggage):
    class Clock(Exo):
        def now_ms(self):
            return powers.now_ms - parameters["zero"]

        def give_up(self):
            powers.exit_with_failure("tired")

    return Clock()


def test_a_class_of_the_test_becomes_a_vat(vats: Vats):
    counter = vats.start(Counter, count=5)
    assert type(counter) is Presence
    assert (vats.call(counter).increment(), vats.call(counter).increment(by=4)) == (6, 10)
    assert vats.call(vats.start(Counter)).increment() == 1


def test_a_function_of_the_test_becomes_a_vat_and_time_passes_when_told(vats: Vats):
    clock = vats.start(build_clock, zero=START_MS)
    assert vats.call(clock).now_ms() == 0
    assert vats.call(clock).now_ms() == 0
    vats.advance(60_000)
    assert vats.call(clock).now_ms() == 60_000


@pytest.mark.parametrize("value", [None, 1.5, 10**30, "!text", b"\x00", [1, [2]], {"b": 1, "a": ""}, Tagged("t", 1)])
def test_values_cross_as_they_do_between_vats(vats: Vats, value):
    assert vats.call(vats.start(Counter)).echo(value) == value


def test_references_cross_as_they_do_between_vats(vats: Vats):
    counter, other = vats.start(Counter), vats.start(Counter)
    made = vats.call(counter).make()
    assert vats.call(other).echo([made]) == [made]
    assert vats.call(other).ask(made) == 1010
    own = Counter(1)
    assert vats.call(other).ask(own) == 20
    assert vats.call(other).echo(own) is own
    assert own.count == 2
    with pytest.raises(MarshalError, match=r"^args\[0\]: a set is not passable"):
        vats.call(counter).echo({1})


def test_a_rejection_is_raised_as_what_it_is(vats: Vats):
    counter = vats.start(Counter)
    with pytest.raises(KeyError, match="gone"):
        vats.call(counter).fail(KeyError("gone"))
    with pytest.raises(TypeError, match=r"increment\(by\): expected int, not str '1'"):
        vats.call(counter).increment("1")
    with pytest.raises(AttributeError, match="Counter has no method 'missing'; it has: ask, echo"):
        vats.call(counter).missing()
    assert vats.console("Counter")[-1].startswith("error:liveSlots:v2#70002: AttributeError: Counter has no method")


def test_what_waits_is_settled_later(vats: Vats):
    gate, counter = vats.start(Gate), vats.start(Counter)
    waiting = vats.send(gate).wait()
    asking = vats.send(counter).ask(vats.send(gate).wait().promise)
    assert (waiting.is_settled, asking.is_settled) == (False, False)
    with pytest.raises(AssertionError, match=r"wait\(\) is not settled, and nothing is left to do"):
        waiting.result()
    with pytest.raises(AssertionError, match="not settled"):
        vats.call(gate).wait()
    vats.call(gate).open(counter)
    assert (waiting.result(), asking.result()) == (counter, 10)
    with pytest.raises(ValueError, match="no"):
        vats.send(counter).fail(ValueError("no")).result()


def test_code_of_the_test_runs_as_a_vats(vats: Vats):
    counter = vats.start(Counter)

    async def scenario(start: int) -> list[int]:
        made: Promise[Counter] = E(counter).make()
        return [await E(counter).increment(start), await E(made).increment()]

    assert vats.run(scenario(7)) == [7, 101]

    async def failing() -> None:
        await E(counter).fail(ValueError("no"))

    with pytest.raises(ValueError, match="no"):
        vats.run(failing())


def test_what_vats_print_is_there_to_assert_on(vats: Vats):
    counter = vats.start(Counter)
    vats.call(counter).increment(3)
    assert vats.console() == ["count is 3"]
    assert (vats.console("Counter"), vats.console("Other")) == (["count is 3"], [])


def test_what_nobody_holds_is_gone_after_a_collection_and_not_before(vats: Vats):
    counter = vats.start(Counter)
    made, other = vats.call(counter).make(), vats.call(counter).make()
    vats.collect()
    assert vats.exports("Counter") == ["root of Counter", "Counter", "Counter"]
    del made
    assert len(vats.exports("Counter")) == 3
    vats.collect()
    assert len(vats.exports("Counter")) == 2
    assert vats.call(other).increment() == 101


def test_a_fault_of_a_vat_is_listed(vats: Vats):
    clock = vats.start(build_clock, zero=0)
    with pytest.raises(Exception, match="terminated"):
        vats.call(clock).give_up()
    assert vats.faults() == ["build_clock: the vat gave up: 'tired'"]


def test_a_crash_takes_nothing_away(vats: Vats):
    counter, gate = vats.start(Counter), vats.start(Gate)
    made = vats.call(counter).make()
    vats.call(counter).increment(5)
    waiting = vats.send(gate).wait()
    vats.crash()
    assert (vats.call(counter).increment(), vats.call(made).increment()) == (6, 101)
    vats.crash()
    vats.call(gate).open("morning")
    assert waiting.result() == "morning"
    assert vats.console("Counter")[:1] == ["count is 5"]


def test_an_upgrade_gives_a_vat_a_new_root_under_the_same_reference(vats: Vats):
    def build_next(powers, parameters, baggage):
        baggage["upgrades"] = baggage.get("upgrades", 0) + 1
        return Counter(1000 * baggage["upgrades"] + parameters["more"])

    counter = vats.start(Counter)
    vats.call(counter).increment()
    vats.upgrade("Counter", build_next, more=5)
    assert vats.call(counter).increment() == 1006
    vats.upgrade("Counter", build_next, more=7)
    vats.crash()
    assert vats.call(counter).increment() == 2008
    with pytest.raises(RequestFailed, match="was not upgraded and goes on as it was"):
        vats.upgrade("Counter", "not Python")
    assert vats.call(counter).increment() == 2009


def test_a_cluster_file_is_launched_with_its_sources(vats: Vats):
    bank = vats.launch(ROOT / "examples/bank")
    assert bank.result["audit"]["is_conserved"] is True
    assert vats.call(bank.roots["alice"]).balance() == 850
    assert bank.root is bank.roots["bank"]
    assert vats.call(bank.root).get_user("bob") is bank.roots["bob"]
    assert "bob cannot pay 10000: bob has 550 dollar, not 10000" in vats.console("bank")
    counter = vats.launch(str(ROOT / "examples/counter/cluster.json"))
    assert vats.call(counter.root).increment() == 1


def test_a_cluster_is_made_of_files_and_of_classes(vats: Vats):
    class Boss(Exo):
        async def bootstrap(self, vats, services):
            made = await E(vats["worker"]).make()
            return {"made": made, "count": await E(made).increment(), "names": sorted(vats)}

    source = "from tests_shared import Worker\ndef build_root_object(powers, parameters, baggage):\n    return Worker()"
    shared = "from kernel_py.vat import Exo\nclass Worker(Exo):\n    def make(self):\n        return self\n"
    shared += "    def increment(self):\n        return 1\n"
    config = {"bootstrap": "boss", "vats": {"boss": {"source": Boss}, "worker": {"source": "worker.py"}}}
    launched = vats.launch(config, {"worker.py": source, "tests_shared.py": shared})
    assert launched.result == {"made": launched.roots["worker"], "count": 1, "names": ["boss", "worker"]}


def test_a_launch_that_fails_says_why(vats: Vats):
    with pytest.raises(RequestFailed, match=r"there is no file 'missing\.py'"):
        vats.launch({"bootstrap": "a", "vats": {"a": {"source": "missing.py"}}})
    with pytest.raises(RequestFailed, match="unexpected keyword argument 'size'"):
        vats.start(Counter, size=3)


def test_a_folder_is_read_with_wheels_as_base64(tmp_path):
    config = {"bootstrap": "a", "vats": {"a": {"source": "a.py"}}}
    (tmp_path / "lib").mkdir()
    for name, data in {"cluster.json": json.dumps(config).encode(), "a.py": b"x", "lib/b.py": b"y"}.items():
        (tmp_path / name).write_bytes(data)
    (tmp_path / "lib/six-1-py3-none-any.whl").write_bytes(b"PK\x03\x04")
    (tmp_path / "notes.txt").write_text("not a source")
    files = {"a.py": "x", "lib/b.py": "y", "lib/six-1-py3-none-any.whl": "UEsDBA=="}
    assert read_cluster(tmp_path) == {"config": config, "files": files}


def test_what_vats_printed_is_shown_below_a_failure(vats: Vats, capsys: pytest.CaptureFixture[str]):
    vats.call(vats.start(Counter)).increment()
    show_console(vats)
    assert capsys.readouterr().out == "Counter: count is 1\n"
