"""The faults of other kernels that have no other home here; each test is named for one (pitfall_01 to pitfall_20).

The others are beside what they are about: `grep -rn pitfall_ tests e2e`.
"""

from __future__ import annotations

import asyncio
import re

import pytest

from kernel_py.hosts.memory import MemoryHost
from kernel_py.hosts.native.sqlite_store import SqliteBackend
from kernel_py.vat.store import VatStore
from kernel_py.wire.errors import StoreError
from scripts import docs
from tests.conftest import ROOT
from tests.core.driver import GO, TERMINATED, Driver, data, fulfill, leave, message, send, subscribe, text
from tests.hosts.realms import Asker, World
from tests.virtual_loop import run_async

BOB, CAROL = "o-50", "o-51"


@pytest.fixture
def trio() -> Driver:
    driver = Driver()
    driver.launch("alice", "bob", "carol")
    driver.ask("alice")
    return driver


def test_pitfall_02_what_a_terminated_vat_owed_is_rejected_also_to_a_call_queued_from_outside(trio: Driver) -> None:
    trio.reply("alice", send(BOB, "work", result="p+1"), subscribe("p+1"))
    queued = trio.ask("bob", "more")
    trio.request("terminateVat", {"vat": trio.vat("bob")})
    trio.handle("alice", ["notify", [["p+1", True, data(TERMINATED)]]], fulfill(GO, text("on")))
    assert trio.result(queued)["status"] == "rejected"
    trio.ask("carol", "still there")
    trio.handle("carol", message("o+0", "still there", result="p-60"))


def test_pitfall_07_a_failing_crank_takes_back_nothing_but_itself(trio: Driver) -> None:
    trio.ask("carol", "fail")
    trio.reply("alice", send(BOB, "meanwhile"))
    trio.reply("carol", send("o+0", "x"), error="Traceback: it broke")
    trio.handle("bob", message("o+0", "meanwhile"))


def test_pitfall_09_an_exit_followed_by_an_answer_is_an_exit(trio: Driver) -> None:
    trio.reply("alice", leave("bye"), fulfill(GO, text("done")))
    assert trio.state_of("alice") == "terminated"
    assert trio.result("key-2")["value"] == "'done'"


def test_pitfall_09_an_illegal_syscall_followed_by_legal_ones_is_illegal(trio: Driver) -> None:
    trio.reply("alice", send("o-99", "x"), fulfill(GO, text("done")), leave("bye"))
    assert trio.reason_of("alice") == "o-99 was never given to this vat"
    assert trio.result("key-2")["status"] == "rejected"


def test_pitfall_10_after_a_failed_crank_nothing_remembers_it(trio: Driver) -> None:
    numbers = dict(trio.kernel._state.view("kernel"))
    trio.is_checking = False
    trio.reply("alice", send(BOB, "x", "o+1", "p+1", result="p+2"), send("o-99", "illegal"))
    trio.is_checking = True
    trio.check()
    after = dict(trio.kernel._state.view("kernel"))
    assert {name: after[name] for name in ("nextObject", "nextPromise")} == {
        name: numbers[name] for name in ("nextObject", "nextPromise")
    }
    trio.commit()  # and compares the kernel with one that is started from the store


SENDER = """
from kernel_py.vat import E, Exo
class Root(Exo):
    def __init__(self): self.heard = []
    def bootstrap(self, vats, services): self.other = vats["b"]
    def go(self): E.send_only(self.other).hear("psst")
    def hear(self, word): self.heard.append(word)
    def all(self): return self.heard
def build_root_object(powers, parameters, baggage): return Root()
"""


def test_pitfall_13_what_is_sent_only_arrives() -> None:
    host = MemoryHost()
    vats = {name: {"source": "a.py"} for name in ("a", "b")}
    host.launch({"bootstrap": "a", "vats": vats}, {"a.py": SENDER})
    host.send(host.kernel.get_vat("v1").root, "go")
    assert host.send(host.kernel.get_vat("v2").root, "all")["value"] == "['psst']"


def test_pitfall_14_an_empty_text_in_the_vat_store_is_there_and_keys_are_in_order() -> None:
    store = VatStore()
    for key in ("b", "a", "c", "ä", "B"):
        store.set(key, "")
    assert store.get("a") == ""
    assert store.get("x") is None
    keys = []
    key: str | None = ""
    while (key := store.get_next_key(key)) is not None:
        keys.append(key)
    assert keys == ["B", "a", "b", "c", "ä"]
    store.close()


@pytest.mark.native
def test_pitfall_16_where_nothing_can_be_stored_no_kernel_starts() -> None:
    with pytest.raises(StoreError):
        SqliteBackend(ROOT / "README.md" / "store.db")


def test_pitfall_17_the_page_about_the_store_is_made_from_the_code() -> None:
    page = "reference/store.md"
    assert (ROOT / "docs" / page).read_text() == docs.PAGES[page]()


def test_pitfall_20_requests_do_not_wait_for_each_other_s_writes() -> None:
    """Fifty requests at once, each of which must be durable before it is answered, take few writes together."""

    async def main() -> None:
        world = World(commit_s=0.1)
        await world.start()
        asker = Asker(world)
        asker.connect()
        cluster = await asker.launch({"a.py": SENDER}, a={"source": "a.py"}, b={"source": "a.py"})
        before = world.backend.commits
        await asyncio.gather(*(asker.send(cluster["root"], "hear", repr(n)) for n in range(50)))
        assert world.backend.commits - before < 15

    run_async(main())


def test_every_pitfall_of_kernels_and_service_workers_has_a_test_that_is_named_for_it() -> None:
    paths = [path for folder in ("tests", "e2e") for path in sorted((ROOT / folder).rglob("test_*.py"))]
    named = {int(number) for path in paths for number in re.findall(r"def test_pitfall_(\d\d)_", path.read_text())}
    assert set(range(1, 21)) - named == set()
