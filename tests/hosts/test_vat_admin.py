"""Vats that create vats, in a host: Python on both sides."""

from __future__ import annotations

from typing import Any

import pytest

from kernel_py.hosts.memory import MemoryHost
from kernel_py.vat.session import VatSession
from kernel_py.wire.limits import Limits
from kernel_py.wire.protocol import VatSpec

FOREMAN = """
from kernel_py.vat import E, Exo

class Foreman(Exo):
    def bootstrap(self, vats, services):
        self.admin = services["vat_admin"]
        self.created = []
        self.log = []

    async def create(self, bundle, **options):
        made = await E(self.admin).create(bundle, **options)
        self.created.append(made)
        return len(self.created) - 1

    async def create_boss(self):
        made = await E(self.admin).create("worker", parameters={"boss": self})
        return await E(made["root"]).report()

    def praise(self, name):
        return f"well done, {name}"

    def ask(self, index, method, *args):
        return getattr(E(self.created[index]["root"]), method)(*args)

    def node(self, index, method, *args, **kwargs):
        return getattr(E(self.created[index]["admin"]), method)(*args, **kwargs)

    async def watch(self, index):
        try:
            self.log.append(await E(self.created[index]["admin"]).done())
        except Exception as error:
            self.log.append(f"{type(error).__name__}: {error}")

    def read(self):
        return self.log

def build_root_object(powers, parameters, baggage):
    return Foreman()
"""

WORKER = """
from kernel_py.vat import E, Exo

class Worker(Exo):
    def __init__(self, powers, parameters, baggage):
        self.powers, self.boss = powers, parameters.get("boss")
        self.baggage = baggage
        self.baggage["lives"] = self.baggage.get("lives", 0) + 1
        self.count = 0

    def add(self, number):
        self.count += number
        return self.count

    async def report(self):
        return await E(self.boss).praise(self.powers.vat_name)

    def lives(self):
        return self.baggage["lives"]

    def leave(self, reason, is_failure):
        (self.powers.exit_with_failure if is_failure else self.powers.exit)(reason)

def build_root_object(powers, parameters, baggage):
    return Worker(powers, parameters, baggage)
"""

CONFIG = {
    "bootstrap": "foreman",
    "services": ["vat_admin"],
    "bundles": {"worker": {"source": "worker.py"}},
    "vats": {"foreman": {"source": "foreman.py"}},
}
FILES = {"foreman.py": FOREMAN, "worker.py": WORKER}


class World:
    """A host with the foreman's cluster."""

    def __init__(self, **options: Any) -> None:
        self.host = MemoryHost(**options)
        self.root = self.host.launch(CONFIG, FILES)["root"]

    def do(self, method: str, args: str = "") -> str:
        return str(self.host.send(self.root, method, args)["value"])


def test_a_vat_creates_another_and_talks_to_it() -> None:
    world = World()
    assert world.do("create", "'worker'") == "0"
    assert world.do("ask", "0, 'add', 5") == "5"
    assert world.do("create_boss") == "'well done, worker'"


def test_created_vats_and_their_admins_outlive_the_kernel() -> None:
    world = World()
    world.do("create", "'worker', name='w'")
    world.do("ask", "0, 'add', 5")
    world.host.post("send", {"target": world.root, "method": "watch", "args": "0"})
    world.host.run()
    world.host = world.host.reopen()
    assert world.do("ask", "0, 'add', 5") == "10"
    assert world.do("node", "0, 'terminate', 'old age'") == "True"
    assert world.do("read") == "['RemoteError: old age']"


def test_a_vat_that_has_ended_stays_so_over_a_restart() -> None:
    world = World()
    world.do("create", "'worker'")
    world.do("node", "0, 'terminate', 'old age'")
    world.host = world.host.reopen()
    assert world.do("ask", "0, 'add', 5").endswith("'vat terminated')")
    vats = world.host.request("status")["vats"]
    assert [(vat["name"], vat["state"]) for vat in vats] == [("foreman", "running"), ("worker", "terminated")]
    assert world.host.kernel.living_vats() == ["v1"]


def test_a_created_vat_is_upgraded_and_keeps_what_is_durable() -> None:
    world = World()
    world.do("create", "'worker'")
    world.do("ask", "0, 'add', 5")
    changed = WORKER.replace("self.count += number", "self.count -= number")
    assert world.do("node", f"0, 'upgrade', {{'new.py': {changed!r}}}") == "{'incarnation': 1}"
    assert world.do("ask", "0, 'add', 5") == "-5"
    assert world.do("ask", "0, 'lives'") == "2"
    assert "v2 (worker) was not upgraded" in world.do("node", "0, 'upgrade', {'new.py': 'oh no'}")
    assert world.do("ask", "0, 'lives'") == "2"


@pytest.mark.parametrize(
    "reason, is_failure, told", [("'happy'", False, "'happy'"), ("ValueError('sad')", True, "'RemoteValueError: sad'")]
)
def test_how_a_vat_left_is_told(reason: str, is_failure: bool, told: str) -> None:
    world = World()
    world.do("create", "{'w.py': " + repr(WORKER.replace("(reason)", f"({reason})")) + "}")
    world.host.post("send", {"target": world.root, "method": "watch", "args": "0"})
    world.do("ask", f"0, 'leave', 1, {is_failure}")
    assert world.do("read") == f"[{told}]"
    assert world.do("create", "'worker'") == "1"


@pytest.mark.parametrize(
    "source, reason",
    [
        ("oh no", "SyntaxError"),
        ("import nowhere", "ModuleNotFoundError"),
        ("x = 1", "does not define build_root_object"),
        ("def build_root_object(powers, parameters, baggage): raise ValueError('not today')", "not today"),
        ("def build_root_object(powers, parameters, baggage): return 7", "must return an Exo"),
        (
            """from kernel_py.vat import make_promise
async def build_root_object(powers, parameters, baggage): await make_promise()[0]""",
            "build_root_object did not finish",
        ),
        (
            """from kernel_py.vat import Durable
class R(Durable): pass
def build_root_object(powers, parameters, baggage): return R()""",
            "the root is o+0 in every incarnation",
        ),
    ],
)
def test_a_broken_vat_is_not_created_and_its_creator_is_told_why(source: str, reason: str) -> None:
    world = World()
    told = world.do("create", f"{{'broken.py': {source!r}}}")
    assert "the vat was not created: " in told
    assert reason in told
    status = world.host.request("status")
    assert [vat["name"] for vat in status["vats"]] == ["foreman"]
    assert world.do("create", "'worker'") == "0"


def test_a_vat_whose_start_kills_its_worker_is_given_up() -> None:
    def make_session(spec: VatSpec, limits: Limits) -> VatSession:
        session = VatSession(limits=limits)
        if spec.name == "worker":
            session.receive = lambda text: ['["failed","it hung"]'] if '"deliver"' in text else []  # type: ignore[method-assign]
        return session

    world = World(make_session=make_session)
    assert "start failed 3 times: it hung" in world.do("create", "'worker'")
    assert world.do("read") == "[]"
