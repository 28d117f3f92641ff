"""Vats that say anything: nothing is raised, nothing of others is touched, everybody else goes on."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kernel_py.core.queues import message_mentions
from kernel_py.core.schema import ClistEntry, ItemKind, PromiseState, QueuedMessage, QueueItem
from kernel_py.core.store import MemoryBackend
from kernel_py.wire.limits import DEFAULT_LIMITS
from tests.core.driver import Driver, fulfill, message, send, subscribe, text
from tests.core.strategies import draw_reply

MALLORY = "v2"
OTHERS = ("v1", "v3")


def _prepare() -> MemoryBackend:
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
    return driver.backend


PREPARED = _prepare()


def _open() -> Driver:
    backend = MemoryBackend()
    backend.texts = dict(PREPARED.texts)
    backend.transcripts = {vat: dict(entries) for vat, entries in PREPARED.transcripts.items()}
    backend.bundles = dict(PREPARED.bundles)
    driver = Driver(backend=backend, limits=replace(DEFAULT_LIMITS, deliveries_inflight_max=3))
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
    """What mallory may touch, and what is none of her business, before one of her replies."""

    def __init__(self, driver: Driver) -> None:
        state = driver.kernel._state
        self.driver = driver
        self.earlier = _messages(driver)
        self.given = set(state.rows(f"{MALLORY}.clist"))
        numbers = state._tables["kernel"]
        self.created = (numbers["nextObject"], numbers["nextPromise"])
        self.settled_by_others = {
            kpid
            for kpid, promise in state._tables["promises"].items()
            if promise.state is PromiseState.UNRESOLVED and promise.decider in OTHERS
        }
        self.clists = {
            vat: {row for row in state.rows(f"{vat}.clist") if isinstance(state.get(f"{vat}.clist", row), ClistEntry)}
            for vat in OTHERS
        }

    def _is_new(self, kref: str) -> bool:
        return bool(int(kref[2:]) >= self.created[kref[1] == "p"])

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
            assert krefs - set(driver.kernel._state.rows(f"{vat}.clist")) <= self.given


def _go_on(driver: Driver) -> None:
    """Alice and trent still work, together and with the outside, and get an answer to all they are owed."""
    driver.is_checking = False
    for name in ("alice", "trent"):
        for _ in range(50):
            if driver.delivery(name) is None:
                break
            driver.reply(name)
        key = driver.ask(name, "alive")
        result = driver.delivery(name)[2]["result"]
        driver.reply(name, fulfill(result, text("yes")))
        assert driver.result(key)["value"] == "'yes'"
    driver.is_checking = True
    driver.turn()


def attack(data: Any) -> None:
    driver = _open()
    for _ in range(data.draw(st.integers(1, 4))):
        if driver.state_of("mallory") != "running":
            break
        if driver.delivery("mallory") is None:
            driver.ask("mallory")
        if not data.draw(st.integers(0, 2)):
            driver.ask("mallory", "ahead", "ko20")
        if driver.delivery("mallory") is None:
            break  # she has abandoned her own root: nobody can send to her any more
        number = json.loads(driver.inflight[MALLORY])[1]
        watch = _Watch(driver)
        reply = draw_reply(data.draw, driver.kernel, MALLORY, number)
        driver.say("mallory", reply)
        watch.check()
        if not data.draw(st.integers(0, 9)):
            driver.say("mallory", reply)  # once more, unasked
    if data.draw(st.booleans()):
        driver.reload()
    if driver.state_of("mallory") == "running":
        driver.request("terminateVat", {"vat": MALLORY})
    _go_on(driver)
    for kpid in WAITED_FOR:
        assert driver.kernel.find_promise_state(kpid) is not PromiseState.UNRESOLVED


WAITED_FOR = ("kp43", "kp47", "kp48")
"""What mallory decides."""


@settings(max_examples=300, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_a_hostile_vat_harms_nobody(data: Any) -> None:
    attack(data)


@pytest.mark.soak
@settings(max_examples=50_000, suppress_health_check=list(HealthCheck), derandomize=False)
@given(st.data())
def test_a_hostile_vat_harms_nobody_however_long(data: Any) -> None:
    attack(data)


def test_the_stage_is_set() -> None:
    driver = _open()
    assert [driver.promise(kpid).decider for kpid in WAITED_FOR] == [MALLORY] * 3
    assert driver.promise("kp43").subscribers == OTHERS
    assert all(driver.inflight[vat] for vat in (MALLORY, *OTHERS))
