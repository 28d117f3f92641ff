"""Confined Python vats: the same vat side, in a component that imports nothing."""

from __future__ import annotations

import pytest

from kernel_py.hosts.memory import MemoryHost
from kernel_py.hosts.native.confined import ConfinedEngine, ConfinedLimits
from kernel_py.hosts.native.confined_component import artifact_store, cache_folder, provide
from kernel_py.vat.session import VatSession
from kernel_py.wire import canonical, protocol
from scripts.examples import read_example
from tests.vat.driving import PRELUDE, TIME_MS, Ref, capdata, message
from tests.vat.driving import ROOT as ROOT_BUILDER

pytestmark = pytest.mark.native

LIMITS = ConfinedLimits(fuel_delivery=2_000_000_000)


@pytest.fixture(scope="module")
def engine():
    folder = cache_folder()
    engine = ConfinedEngine(provide(folder, print), artifact_store(folder), limits=LIMITS)
    yield engine
    engine.close()


class Realm:
    """A session that is a vat, whose kernel is the test."""

    def __init__(self, session, source):
        if "build_root_object" not in source:
            source = PRELUDE + source + ROOT_BUILDER
        self.session = session
        self.number = 0
        assert (
            session.receive(protocol.dump_start(protocol.VatSpec("v1", 0, "n", "seed", "m.py", {"m.py": source}))) == []
        )
        assert session.receive(protocol.dump_go(0)) == ['["ready",0]']
        [self.started] = self.deliver(["startVat", capdata(None)])

    def deliver(self, delivery):
        self.number += 1
        return self.session.receive(protocol.dump_deliver(self.number, TIME_MS + self.number, canonical.dump(delivery)))

    def call(self, method, *args):
        [answer] = self.deliver(message("o+0", method, *args))
        return canonical.load(answer)


def value(done):
    """The value that a call was answered with."""
    [[op, [[_, is_reject, data]]]] = done[3]
    assert (done[2], op) == (["ok", None], "resolve"), done
    return data["body"] if not is_reject else f"rejected {data['body']}"


SOURCE = """
import os, random, time
class Root(Exo):
    def __init__(self): self.items = []
    def add(self, item):
        self.items.append(item)
        print("has", len(self.items))
        return self.items
    async def ask(self, other):
        return [await E(other).ask(1), "asked"]
    def wrong(self): raise ValueError("wrong")
    def draw(self): return [time.time(), random.random(), os.urandom(4), hash("abc"), id(object())]
    def forever(self):
        while True: pass
    def deep(self): return self.deep()
    def large(self): return len(bytes(2_000_000_000))
"""


def test_a_confined_vat_says_what_a_python_vat_says(engine):
    confined, plain = Realm(engine.make_session(), SOURCE), Realm(VatSession(), SOURCE)
    assert confined.started == plain.started
    for delivery in (
        message("o+0", "add", "a"),
        message("o+0", "add", [1, 2.5, None, b"x"], result="p-61"),
        message("o+0", "ask", Ref("o-50"), result="p-62"),
        message("o+0", "wrong", result="p-63"),
        message("o+0", "missing", result="p-64"),
        ["notify", [["p+5", False, capdata("answer")]]],
        ["bringOutYourDead"],
    ):
        said, expected = (canonical.load(realm.deliver(delivery)[0]) for realm in (confined, plain))
        assert said[:4] == expected[:4]  # what was printed contains tracebacks, which versions write differently
    assert confined.session.hello() == plain.session.hello()


def test_two_realms_are_the_same_to_the_last_address_and_unit_of_fuel(engine):
    realms = [Realm(engine.make_session(), SOURCE) for _ in range(2)]
    for _ in range(3):
        drawn = [realm.call("draw") for realm in realms]
        assert drawn[0] == drawn[1]
        assert realms[0].session.fuel_used == realms[1].session.fuel_used > 0


def test_time_is_that_of_the_delivery(engine):
    realm = Realm(engine.make_session(), SOURCE)
    assert value(realm.call("draw")).startswith(f"#[{(TIME_MS + 2) / 1000},")


def test_a_loop_without_end_is_a_poison_message(engine):
    realm = Realm(engine.make_session(), SOURCE)
    done = realm.call("forever")
    assert done[:4] == ["done", 2, ["poison", "out of fuel: there was 2,000,000,000"], []]
    assert canonical.load(realm.session.receive(protocol.dump_go(0))[0])[0] == "failed"


def test_the_same_text_again_gets_the_same_poison(engine):
    session = engine.make_session()
    Realm(session, SOURCE)
    text = protocol.dump_deliver(2, TIME_MS, canonical.dump(message("o+0", "forever")))
    assert session.receive(text) == session.receive(text)


def test_a_recursion_without_end_is_pythons_own_error(engine):
    assert '"name":"RecursionError"' in value(Realm(engine.make_session(), SOURCE).call("deep")).replace("\\", "")


def test_memory_that_there_is_not_is_pythons_own_error(engine):
    assert '"name":"MemoryError"' in value(Realm(engine.make_session(), SOURCE).call("large")).replace("\\", "")


ESCAPES = [
    "open('/etc/passwd').read()",
    "open('/tmp/x', 'w')",
    "__import__('os').listdir('/')",
    "__import__('os').environ['PATH']",
    "__import__('os').system('true')",
    "__import__('socket').create_connection(('127.0.0.1', 80))",
    "__import__('subprocess').run(['true'])",
    "__import__('threading').Thread(target=print).start()",
    "__import__('ctypes').CDLL(None)",
]


@pytest.mark.parametrize("escape", ESCAPES)
def test_there_is_no_way_out(engine, escape):
    realm = Realm(engine.make_session(), f"class Root(Exo):\n    def escape(self):\n        return ['out', {escape}]\n")
    done = realm.call("escape")
    assert done[2][0] == "poison" or value(done).startswith("rejected"), done


def test_the_bank_runs_confined_and_survives_its_host(engine):
    host = MemoryHost(make_session=lambda spec, limits: engine.make_session())
    plain = MemoryHost()
    launched, expected = (each.request("launch", read_example("bank")) for each in (host, plain))
    assert launched["result"] == expected["result"]
    again = host.reopen()
    again.run()
    assert again.send(launched["root"], "audit")["value"] == plain.send(expected["root"], "audit")["value"]


def test_a_syntax_error_in_a_vats_file_is_its_errors_text(engine):
    realm = Realm(engine.make_session(), "def build_root_object(:\n")
    assert "SyntaxError" in canonical.load(realm.started)[2][1]
