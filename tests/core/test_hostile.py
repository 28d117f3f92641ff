"""Vats that say anything: nothing is raised, nothing of others is touched, everybody else goes on."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import lru_cache
from random import Random

import pytest

from kernel_py.core import schema
from kernel_py.core.queues import message_mentions
from kernel_py.core.schema import ClistEntry, ItemKind, PromiseState, QueuedMessage, QueueItem
from kernel_py.core.store import MemoryBackend
from kernel_py.wire.limits import DEFAULT_LIMITS
from tests.conftest import Tally
from tests.core.driver import Driver, fulfill, message, send, subscribe, text
from tests.core.strategies import REPLIES, draw_reply

MALLORY = "v2"
OTHERS = ("v1", "v3")


def _prepare() -> Driver:
    """Alice and trent have told mallory much, wait for her, and have secrets that she was not told."""
    driver = Driver()
    driver.launch("alice", "mallory", "trent", services=("timer",))
    driver.ask("alice")
    driver.reply(
        "alice",
        send("o-50", "theirs", "o+1", "o-51", "p+2", "o-52", result="p+3"),
        subscribe("p+3"),
        send("p+3", "theirs", "o+4", result="p+5"),
        subscribe("p+5"),
        send("o-51", "theirs", "o+6", "p+7", "p+3", result="p+8"),
        send("o-50", "theirs", "p+8", result="p+9"),
        subscribe("p+9"),
    )
    driver.handle("trent", message("o+0", "theirs", "o-50", "p-60", "p-61", result="p-62"), subscribe("p-61"))
    # Mallory decides p-61, may ask for p-60 and p-62, has o-50 (alice's), o-51 (trent), o-52 (the timer) and a promise
    # of her own.
    driver.reply("mallory", subscribe("p-60"), send("o-51", "theirs", "p+1", "o+2"))
    driver.ask("alice", "last")
    return driver


PREPARED = _prepare()


def _open() -> Driver:
    stored = PREPARED.backend
    backend = MemoryBackend()
    backend.texts = dict(stored.texts)
    backend.transcripts = {vat: dict(entries) for vat, entries in stored.transcripts.items()}
    backend.bundles = dict(stored.bundles)
    limits = replace(DEFAULT_LIMITS, deliveries_inflight_max=3)
    driver = Driver(backend=backend, limits=limits, mirror=PREPARED.mirror.copy(), is_checking=False)
    driver.names = {"alice": "v1", "mallory": "v2", "trent": "v3"}
    driver._requests = 100  # keys that were not used yet
    return driver


def _messages(driver: Driver) -> list[QueuedMessage]:
    tables = driver.kernel._state._tables
    found: list[QueuedMessage] = []
    for name, rows in tables.items():
        for value in rows.values() if name.endswith((".queue", ".messages")) else ():
            if isinstance(value, QueueItem) and value.kind is ItemKind.MESSAGE:
                found.append(value.payload)
            elif isinstance(value, QueuedMessage):
                found.append(value)
    return found


class _Watch:
    """What mallory may touch, and what is none of her business. `look` before each thing that she says, then `check`.

    What she was given once she may have mentioned in a message that is still on its way.
    """

    def __init__(self, driver: Driver) -> None:
        self.driver = driver
        numbers = driver.kernel._state._tables["kernel"]
        self.created = (numbers["nextObject"], numbers["nextPromise"])
        self.given: set[str] = set()

    def look(self) -> None:
        driver, state = self.driver, self.driver.kernel._state
        self.earlier = _messages(driver)
        self.given.update(state._tables.get(f"{MALLORY}.clist", ()))
        self.settled_by_others = {
            kpid
            for kpid, promise in state._tables["promises"].items()
            if promise.state is PromiseState.UNRESOLVED and promise.decider in OTHERS
        }
        self.clists = {vat: _krefs(driver, vat) for vat in OTHERS}

    def _is_new(self, kref: str) -> bool:
        return int(kref[2:]) >= self.created[kref[1] == "p"]

    def check(self) -> None:
        driver = self.driver
        for vat in OTHERS:
            assert driver.state_of(vat) == "running"
        for queued in _messages(driver):
            if "theirs" not in queued.body and queued not in self.earlier:
                assert all(kref in self.given or self._is_new(kref) for kref in message_mentions(queued))
        for kpid in self.settled_by_others:
            if driver.kernel.find_promise_state(kpid) is not None:
                assert driver.promise(kpid).state is PromiseState.UNRESOLVED
        for vat, krefs in self.clists.items():
            assert krefs - _krefs(driver, vat) <= self.given


def _krefs(driver: Driver, vat: str) -> set[str]:
    rows = driver.kernel._state._tables[f"{vat}.clist"]
    return {row for row, value in rows.items() if isinstance(value, ClistEntry)}


def _go_on(driver: Driver) -> None:
    """Alice and trent still work, together and with the outside, and get an answer to all they are owed."""
    for name in ("alice", "trent"):
        for _ in range(50):
            if driver.delivery(name) is None:
                break
            driver.reply(name)
        key = driver.ask(name, "alive")
        result = driver.delivery(name)[2]["result"]
        driver.reply(name, fulfill(result, text("yes")))
        assert driver.result(key)["value"] == "'yes'"
    with _checking(driver):
        driver.turn()


@contextmanager
def _checking(driver: Driver) -> Iterator[None]:
    """Every invariant is recounted: after what mallory says and her end, not after what others do meanwhile."""
    driver.is_checking = True
    yield
    driver.is_checking = False


CASES_PER_STAGE = 8


def attack(rng: Random, tally: Counter[str]) -> None:
    """Play on one stage until mallory is no more, or has said enough. A case is one thing that she says."""
    driver = _open()
    watch = _Watch(driver)
    for _ in range(CASES_PER_STAGE):
        if not _make_busy(rng, driver):
            break  # she has abandoned her own root: nobody can send to her any more
        number = json.loads(driver.inflight[MALLORY])[1]
        kind, reply = draw_reply(rng, driver.kernel, MALLORY, number)
        tally[kind] += 1
        for _ in range(2 if reply is not None and not rng.randint(0, 9) else 1):  # once more, unasked
            tally["cases"] += 1
            watch.look()
            with _checking(driver):
                if kind == "lost":
                    driver.lose("mallory")
                else:
                    driver.say("mallory", reply)
            watch.check()
        if driver.state_of("mallory") != "running":
            tally["ended"] += 1
            break
    _close(rng, driver)


def _make_busy(rng: Random, driver: Driver) -> bool:
    """Let mallory have something to answer, and sometimes more than one thing."""
    if driver.delivery("mallory") is None:
        driver.ask("mallory")
    if not rng.randint(0, 2):
        driver.ask("mallory", "ahead", "ko20")
    return driver.delivery("mallory") is not None


def _close(rng: Random, driver: Driver) -> None:
    """Whatever she has said or not said: the others go on, and get an answer to all that she owes them."""
    if not rng.randint(0, 7):
        driver.reload()
    is_running = driver.state_of("mallory") == "running"
    if is_running and not rng.randint(0, 7):
        _go_on(driver)  # though she does not answer
    if is_running:
        with _checking(driver):
            driver.request("terminateVat", {"vat": MALLORY})
    if not rng.randint(0, 7):
        _go_on(driver)
    for kpid in WAITED_FOR:
        assert driver.kernel.find_promise_state(kpid) is not PromiseState.UNRESOLVED


WAITED_FOR = ("kp43", "kp47", "kp48")
"""What mallory decides."""


def _attack_often(cases: int, seed: int) -> Counter[str]:
    """Stages until there were so many cases. Each has a seed of its own, by which a failure is had again."""
    tally = Counter(dict.fromkeys(("cases", "ended", *REPLIES), 0))
    stage = 0
    while tally["cases"] < cases:
        stage_seed = f"{seed}/{stage}"
        try:
            attack(Random(stage_seed), tally)
        except BaseException as error:
            error.add_note(f"to see it again: attack(Random({stage_seed!r}), Counter())")
            raise
        stage += 1
    tally["stages"] = stage
    return tally


@pytest.fixture(autouse=True)
def decoded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The stages begin with the same rows. No value is ever changed in place, so that they may share them."""
    monkeypatch.setattr(schema, "decode", lru_cache(10_000)(schema.decode))


def test_a_hostile_vat_harms_nobody(tally: Tally) -> None:
    cases = 100_000 if sys.platform != "emscripten" else 5_000  # which is three times slower
    counts = _attack_often(cases, 0)
    tally("hostile vat, seed 0", counts)
    assert counts["cases"] >= cases
    assert min(counts.values()) > 0


@pytest.mark.soak(seeded=True)
def test_a_hostile_vat_harms_nobody_however_long(tally: Tally, soak_seed: int) -> None:
    tally(f"hostile vat, seed {soak_seed}", _attack_often(50_000, soak_seed))


def test_the_stage_is_set() -> None:
    driver = _open()
    assert [driver.promise(kpid).decider for kpid in WAITED_FOR] == [MALLORY] * 3
    assert driver.promise("kp43").subscribers == OTHERS
    assert all(driver.inflight[vat] for vat in (MALLORY, *OTHERS))
