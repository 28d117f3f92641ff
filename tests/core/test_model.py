"""The kernel against a book of its own messages, under random vats, random ends and random kills.

Vats send, settle, subscribe, hand on, leave, fail, break rules and create others; some pipeline; workers die; clients
ask, repeat, acknowledge and terminate; the kernel is killed between any two inputs, with what was not committed lost.
After every step all invariants of `tests.core.invariants` hold; and:

    * a message is carried out at most once, and once at most is its delivery's batch applied;
    * messages of one sender to one target are delivered in the order in which they were sent;
    * in the end every message was carried out, or rejected, or had nowhere to go; every request is answered.
"""

from __future__ import annotations

import copy
import itertools
import json
import sys
from collections import Counter
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from kernel_py.core.cluster_config import COMMAND_KIND, VAT_KINDS
from kernel_py.core.schema import ClusterState, PromiseState, is_service
from kernel_py.core.services.service import NO_CONFIG, HostService
from kernel_py.wire.limits import DEFAULT_LIMITS
from tests.conftest import Tally
from tests.core.driver import JSON, Driver, ask, fulfill, text
from tests.core.strategies import Vocabulary, draw_batch, draw_shaped_syscall

VATS_MAX = 6
LIMITS = replace(DEFAULT_LIMITS, deliveries_inflight_max=3, created_vats_max=2)
RANDOMS = st.randoms(use_true_random=True)

SERVICES = (
    HostService("mailer", ("mail",), NO_CONFIG, gas=lambda method, args, kwargs: 10 + len(args)),
    HostService("reader", ("read",), NO_CONFIG, is_idempotent=True),
)
Arguments = tuple[str, list[object], tuple[str, ...]]
CALLS: dict[str, list[Arguments]] = {
    "timer": [
        ("repeat", [1, 1], ("o+0",)), ("repeat", [0, 2], ("o+7000",)), ("delay", [1], ()), ("delay", [0.001], ()),
        ("cancel", [], ()), ("now", [], ()),
    ],
    "random": [("bytes", [2], ())],
    "mailer": [("mail", [1], ("o+0",)), ("mail", [], ())],
    "reader": [("read", [2], ())],
    "vat_admin": [
        ("create", [{"a.py": ""}], ()), ("create", ["w"], ()), ("done", [], ()), ("terminate", ["enough"], ()),
        ("terminate", [], ("o+0",)), ("upgrade", [{"b.py": ""}], ()), ("change_options", [], ()),
    ],
}  # fmt: skip


@dataclass
class Sent:
    """A message that a vat sent.

    Attributes:
        pair: sender and target as the sender named it, in the kernel's references.
        result: kpid of its answer if the test holds it, else None.
        starts: how often a delivery of it began, repeats after host faults and kills not counted.
        is_done: a reply to its delivery was applied.
    """

    pair: tuple[str, str]
    result: str | None = None
    is_target_held: bool = False
    starts: int = 0
    is_done: bool = False
    is_given_up: bool = False


@dataclass
class Book:
    """What the test knows; a kill puts it back to the last commit, as it does the kernel."""

    messages: dict[str, Sent] = field(default_factory=dict)
    order: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    holds: dict[str, int] = field(default_factory=dict)
    started: dict[tuple[str, int], str] = field(default_factory=dict)
    keys: list[str] = field(default_factory=list)
    count: int = 0


def _method(delivery: JSON) -> str | None:
    """The name of the message that is delivered; None if it is none of ours."""
    if delivery[0] != "message":
        return None
    method = json.loads(delivery[2]["methargs"]["body"][1:])[0]
    return method if method.startswith("m-") else None


class KernelMachine(RuleBasedStateMachine):
    """Random steps over a `Driver`.

    Attributes:
        tally: what all machines together have done.
    """

    tally: ClassVar[Counter[str]] = Counter()
    is_serial = False
    hosted = SERVICES

    def __init__(self) -> None:
        super().__init__()
        self.driver = Driver(
            is_serial=self.is_serial, limits=LIMITS, services=self.hosted, kinds=(*VAT_KINDS, COMMAND_KIND)
        )
        self.driver.is_committing = False
        self.book = Book()
        self.committed = copy.deepcopy(self.book)
        self.answers: dict[str, str] = {}

    @invariant()
    def count_a_step(self) -> None:
        """The driver has checked everything else."""
        self.tally["steps"] += 1

    # --- helpers --------------------------------------------------------------------------------

    def name_message(self) -> str:
        self.book.count += 1
        return f"m-{self.book.count}"

    def note_deliveries(self) -> None:
        """Look at what is in flight: a message that starts must be the next of its pair."""
        for vat in self.driver.inflight:
            delivery = self.driver.delivery(vat)
            name = _method(delivery)
            if name is None:
                continue
            number = json.loads(self.driver.inflight[vat])[1]
            if self.book.started.get((vat, number)) == name:
                continue
            self.book.started[vat, number] = name
            sent = self.book.messages[name]
            sent.starts += 1
            assert sent.starts == 1, f"{name} is delivered again"
            assert not sent.is_done
            order = self.book.order.setdefault(sent.pair, [])
            assert not order or int(order[-1][2:]) < int(name[2:]), f"{name} overtook {order[-1]}"
            order.append(name)

    def hold(self, kref: str) -> None:
        kernel = self.driver.kernel
        kernel._transact(lambda: kernel._references.take_hold(kref))
        self.book.holds[kref] = self.book.holds.get(kref, 0) + 1
        self.driver.holds[kref] += 1

    def note_sends(self, vat: str, batch: list[JSON], krefs: dict[str, str], *, is_audited: bool) -> None:
        """Enter the messages of a batch that was applied. `krefs` are the names that the vat knew before it."""
        kernel = self.driver.kernel
        for syscall in batch:
            if syscall[0] != "send":
                continue
            _, target, message = syscall
            name = json.loads(message["methargs"]["body"][1:])[0]
            kref = krefs.get(target) or kernel._references.find_kref(vat, target) or f"{vat}:{target}"
            sent = self.book.messages[name] = Sent((vat, kref))
            result = message["result"] and kernel._references.find_kref(vat, message["result"])
            if is_audited and result and kernel.find_promise_state(result):
                sent.result = result
                self.hold(result)
            if is_audited and kernel._state.get("promises" if kref[1] == "p" else "objects", kref):
                sent.is_target_held = True
                self.hold(kref)

    def finish(self, vat: str, batch: list[JSON], *, is_audited: bool) -> None:
        """A vat replies with a legal batch."""
        driver = self.driver
        number = json.loads(driver.inflight[vat])[1]
        name = self.book.started.get((vat, number)) if _method(driver.delivery(vat)) else None
        references = driver.kernel._references
        rows = driver.kernel._state.rows(f"{vat}.clist")
        krefs = {row: str(references.find_kref(vat, row)) for row in rows if row[0] != "k"}
        is_failure = any(syscall[:2] == ["exit", True] for syscall in batch)
        before = self.all_in_flight()
        del before[vat]
        # The messages may be delivered in the same step: they are entered between the reply and the dispatch.
        turn, driver.turn = driver.turn, lambda: None  # type: ignore[method-assign]
        driver.reply(vat, *batch)
        driver.turn = turn  # type: ignore[method-assign]
        if is_failure:
            self.give_up(name)
        else:
            if name is not None:
                self.book.messages[name].is_done = True
            self.note_sends(vat, batch, krefs, is_audited=is_audited)
        driver.turn()
        self.after(before)

    def give_up(self, name: str | None) -> None:
        """The kernel rejected a message under way."""
        if name is not None:
            self.book.messages[name].is_given_up = True

    def draw_busy_vat(self, rng: Random) -> str:
        return str(rng.choice(sorted(self.driver.inflight)))

    def in_flight(self, vat: str) -> str | None:
        return _method(self.driver.delivery(vat)) if vat in self.driver.inflight else None

    def all_in_flight(self) -> dict[str, str | None]:
        return {vat: self.in_flight(vat) for vat in self.driver.inflight}

    def services(self) -> list[str]:
        rows: list[str] = self.driver.kernel._state.rows("services")
        return rows

    def living(self) -> list[str]:
        return self.driver.kernel.living_vats()

    def request(self, method: str, params: dict[str, Any]) -> str:
        before = self.all_in_flight()
        self.book.count += 1
        key = self.driver.request(method, params, f"k-{self.book.count}")
        self.book.keys.append(key)
        self.after(before)
        return key

    def after(self, before: dict[str, str | None]) -> None:
        """Vats that are gone have given up what they were doing."""
        for vat, name in before.items():
            if vat not in self.living():
                self.give_up(name)
        self.note_deliveries()

    # --- steps: clients -------------------------------------------------------------------------

    @initialize()
    def begin(self) -> None:
        """A running cluster, whose first vat knows the others, has asked for wakes and awaits calls."""
        self.launch(3)
        for _ in range(3):
            starting = [vat for vat in sorted(self.driver.inflight) if self.driver.delivery(vat)[0] == "startVat"]
            self.finish(starting[0], [], is_audited=False)
        names = {self.driver.kernel._state.get("services", kref).service: kref for kref in self.services()}
        known = {name: str(self.driver.find_vref("v1", kref)) for name, kref in names.items()}
        calls = [
            ask(known["timer"], "repeat", [1, 1], "o+0", result="p+8000"),
            ask(known["timer"], "delay", [2], result="p+8001"),
            ask(known["mailer"], "mail", [], result="p+8002"),
            ask(known["reader"], "read", [], "o+1"),
        ]
        asked = [["subscribe", f"p+{number}"] for number in (8000, 8001, 8002)]
        self.finish("v1", [*calls, *asked, fulfill("p-60", text("up"))], is_audited=False)

    @rule(count=st.integers(1, 3))
    def launch(self, count: int) -> None:
        if len(self.living()) + count > VATS_MAX:
            return
        names = [f"vat{index}" for index in range(count)]
        vats: JSON = {name: {"source": "a.py"} for name in names}
        vats[names[-1]] = {"kind": "command", "command": ["relay"], "enable_pipelining": True}
        config = {"bootstrap": names[0], "vats": vats, "services": [*CALLS], "bundles": {"w": {"source": "a.py"}}}
        self.request("launch", {"config": config, "files": {"a.py": ""}})

    @rule(rng=RANDOMS)
    def ask(self, rng: Random) -> None:
        self.ask_someone(rng)

    def ask_someone(self, rng: Random) -> None:
        """Send a message from outside, mostly to something that can answer."""
        state = self.driver.kernel._state
        owners = {kref: state.get("objects", kref).owner for kref in state.rows("objects")}
        krefs = [kref for kref, owner in owners.items() if owner is not None] + state.rows("promises")
        ours = [kref for kref, owner in owners.items() if owner in self.driver.kernel.living_vats()]
        if krefs:
            target, arg = rng.choice(ours if ours and rng.randint(0, 3) else krefs), rng.choice(krefs)
            self.request("send", {"target": target, "method": "ask", "args": arg})

    @precondition(lambda self: self.living())
    @rule(rng=RANDOMS, reason=st.sampled_from(["enough", "again"]))
    def terminate_vat(self, rng: Random, reason: str) -> None:
        if rng.randint(0, 3) == 0:
            self.request("terminateVat", {"vat": rng.choice(self.living()), "reason": reason})

    @rule(rng=RANDOMS)
    def terminate_cluster(self, rng: Random) -> None:
        clusters = self.driver.kernel._state.rows("clusters")
        if clusters and rng.randint(0, 7) == 0:
            self.request("terminateCluster", {"cluster": rng.choice(clusters)})

    @precondition(lambda self: self.living())
    @rule(rng=RANDOMS, source=st.sampled_from(["a.py", "b.py"]))
    def upgrade_vat(self, rng: Random, source: str) -> None:
        if rng.randint(0, 1) == 0:
            vat = rng.choice(self.living())
            self.request("upgradeVat", {"vat": vat, "files": {source: ""}, "source": source})

    @precondition(lambda self: self.living())
    @rule(rng=RANDOMS, method=st.sampled_from(["pauseVat", "resumeVat", "resumeVat", "restartVat"]))
    def pause_resume_or_restart(self, rng: Random, method: str) -> None:
        self.request(method, {"vat": rng.choice(self.living())})

    @rule(rng=RANDOMS, method=st.sampled_from(["revoke", "pin", "unpin"]))
    def change_an_object(self, rng: Random, method: str) -> None:
        krefs = self.driver.kernel._state.rows("objects")
        if krefs and rng.randint(0, 3) == 0:
            self.request(method, {"object": rng.choice(krefs)})

    @rule(rng=RANDOMS)
    def reload_cluster(self, rng: Random) -> None:
        clusters = self.driver.kernel._state.rows("clusters")
        if clusters and len(self.living()) <= VATS_MAX // 2 and rng.randint(0, 7) == 0:
            self.request("reloadCluster", {"cluster": rng.choice(clusters)})

    @rule()
    def collect_garbage(self) -> None:
        self.request("collectGarbage", {})

    @precondition(lambda self: self.book.keys)
    @rule(rng=RANDOMS)
    def acknowledge(self, rng: Random) -> None:
        self.driver.acknowledge(rng.choice(self.book.keys))

    # --- steps: vats ----------------------------------------------------------------------------

    @rule(rng=RANDOMS, is_audited=st.booleans())
    def reply(self, rng: Random, is_audited: bool) -> None:
        """What vats mostly do; those that have nothing to do are given something."""
        for _ in range(rng.randint(1, 12)):
            if not self.driver.inflight:
                self.ask_someone(rng)
            if not self.driver.inflight:
                return
            vat = self.draw_busy_vat(rng)
            is_start = self.driver.delivery(vat)[0] == "startVat"  # what it still has is gone when it is complete
            batch = [] if is_start else draw_batch(rng, self.driver.kernel, vat, self.name_message)
            self.finish(vat, batch, is_audited=is_audited)

    reply_again = reply_once_more = reply_at_last = reply

    @rule(rng=RANDOMS)
    def call_services(self, rng: Random) -> None:
        """Calls that a service understands; `reply` sends them what they do not."""
        if not self.driver.inflight:
            self.ask_someone(rng)
        if not self.driver.inflight:
            return
        kernel = self.driver.kernel
        vat = self.draw_busy_vat(rng)
        batch = draw_batch(rng, kernel, vat, self.name_message)
        words = Vocabulary(kernel, vat)
        rows = {vref: kernel._state.get("services", self.driver.kref(vat, vref)) for vref in words.objects}
        services = {vref: row.service for vref, row in rows.items() if row is not None}
        used = {syscall[2]["result"] for syscall in batch if syscall[0] == "send"}
        if not services or any(syscall[0] == "exit" for syscall in batch):
            return
        for number in range(rng.randint(1, 6)):
            result = rng.choice([f"p+{9_000 + self.book.count + number}", None])
            target = rng.choice(list(services))
            method, args, slots = rng.choice(CALLS[services[target]])
            assert result not in used or result is None
            batch.append(ask(target, method, args, *slots, result=result))
            batch += [["subscribe", result]] if result else []
        self.book.count += 10
        self.finish(vat, batch, is_audited=False)

    call_services_again = call_services

    @precondition(lambda self: self.driver.invokes)
    @rule(rng=RANDOMS)
    def answer_a_call(self, rng: Random) -> None:
        before = self.all_in_flight()
        call = rng.choice(sorted(self.driver.invokes))
        self.driver.answer(call, rng.choice([None, 7, [b"x"], ValueError("no"), object()]))
        self.after(before)

    @rule(seconds=st.sampled_from([0.1, 1, 3, 1_000]))
    def let_time_pass(self, seconds: float) -> None:
        before = self.all_in_flight()
        self.driver.wait_until(self.driver.now_ms + int(1_000 * seconds))
        self.after(before)

    @precondition(lambda self: self.driver.inflight)
    @rule(rng=RANDOMS)
    def break_a_rule(self, rng: Random) -> None:
        if rng.randint(0, 4):
            return
        vat = self.draw_busy_vat(rng)
        before = self.all_in_flight()
        is_upgrade = self.driver.delivery(vat)[0] == "startVat"
        batch = draw_batch(rng, self.driver.kernel, vat, lambda: "never sent")
        self.driver.reply(vat, *batch, ["send", "o-99", "illegal"], draw_shaped_syscall(rng))
        assert vat not in self.living() or is_upgrade
        self.after(before)

    @precondition(lambda self: self.driver.inflight)
    @rule(rng=RANDOMS)
    def fail(self, rng: Random) -> None:
        vat = self.draw_busy_vat(rng)
        before = self.all_in_flight()
        if rng.randint(0, 5) == 0:
            self.driver.reply(vat, error="Traceback")
            self.after(before)

    @precondition(lambda self: self.driver.inflight)
    @rule(rng=RANDOMS)
    def lose_a_worker(self, rng: Random) -> None:
        vat = self.draw_busy_vat(rng)
        before = self.all_in_flight()
        number = json.loads(self.driver.inflight[vat])[1]
        self.driver.lose(vat)
        if self.in_flight(vat) != before[vat]:
            self.give_up(before.pop(vat))
            self.book.started.pop((vat, number), None)
        self.after(before)

    @precondition(lambda self: self.driver.inflight)
    @rule(rng=RANDOMS)
    def stop_in_the_middle(self, rng: Random) -> None:
        """A vat's meter stops it: the message is rejected and the vat goes on from before it."""
        if rng.randint(0, 2):
            return
        vat = self.draw_busy_vat(rng)
        before = self.all_in_flight()
        number = json.loads(self.driver.inflight[vat])[1]
        is_bootstrapped = self.driver.cluster_state_of(vat) is ClusterState.RUNNING
        is_message = self.driver.delivery(vat)[0] == "message"
        self.driver.poison(vat)
        assert vat in self.living() or not is_message or not is_bootstrapped
        self.give_up(before.pop(vat))
        self.book.started.pop((vat, number), None)
        self.after(before)

    # --- steps: the store -----------------------------------------------------------------------

    @rule()
    def commit(self) -> None:
        self.driver.commit()
        self.committed = copy.deepcopy(self.book)
        for key, told in self.driver.responses.items():
            assert len(set(told)) == 1
            assert self.answers.setdefault(key, told[0]) == told[0]

    @rule(is_committed=st.booleans())
    def kill(self, is_committed: bool) -> None:
        if is_committed:
            self.commit()
        self.book = copy.deepcopy(self.committed)
        self.driver.holds.clear()
        self.driver.holds.update(self.book.holds)
        self.driver.reload()
        self.tally["kills"] += 1
        self.note_deliveries()

    # --- the end --------------------------------------------------------------------------------

    def teardown(self) -> None:
        """Let every vat answer all that it owes; then look at what became of each message."""
        driver = self.driver
        for vat in self.living():
            self.request("resumeVat", {"vat": vat})
        self.settle_services()
        for _ in range(2_000):
            if not driver.inflight:
                break
            for vat in sorted(driver.inflight):
                if vat in driver.inflight:
                    self.finish(vat, self.settle_all(vat), is_audited=False)
        assert not driver.inflight
        self.commit()
        for vat in self.living():  # what is left to settle was never asked for in a delivery
            self.request("terminateVat", {"vat": vat})
        self.commit()
        for name, sent in self.book.messages.items():
            self.judge(name, sent)
        self.tally["machines"] += 1
        self.tally["messages"] += len(self.book.messages)
        self.tally["carried out"] += sum(sent.is_done for sent in self.book.messages.values())
        self.tally["inputs"] += self.driver.turns
        for key in self.book.keys:
            assert key in self.answers, f"{key} is not answered"

    def settle_services(self) -> None:
        """Let every timer be due, and every call be answered."""
        self.commit()
        for call in sorted(self.driver.invokes):
            self.driver.answer(call, None)
        self.let_time_pass(10_000)

    def settle_all(self, vat: str) -> list[JSON]:
        return [fulfill(vpid, text("end")) for vpid in Vocabulary(self.driver.kernel, vat).decided]

    def judge(self, name: str, sent: Sent) -> None:
        assert not (sent.is_done and sent.is_given_up), name
        if sent.starts:
            assert sent.is_done or sent.is_given_up, f"{name} was begun and never ended"
        if sent.result is not None:
            state = self.driver.promise(sent.result).state
            assert state is not PromiseState.UNRESOLVED, f"{name} has no answer"
            if not sent.is_done:
                assert state is PromiseState.REJECTED, f"{name} was not carried out and yet {state}"
        if not sent.starts and sent.is_target_held:
            assert self.has_nowhere_to_go(sent.pair[1]), f"{name} was lost"

    def has_nowhere_to_go(self, target: str) -> bool:
        """Whether a message to `target` may have been rejected unseen: every vat is gone by now, so that it must."""
        references = self.driver.kernel._references
        if target[1] == "p":
            return references.get_promise(target).state is not PromiseState.UNRESOLVED
        owner = references.find_owner(target)
        return owner is None or is_service(owner)  # which has no method of such a name


MACHINES_PER_ROUND = 50
STEPS_PER_MACHINE = 50


def _run(steps: int, first_seed: int) -> Counter[str]:
    """Run rounds of machines, each with a seed of its own, until they have taken so many steps."""

    class Machine(KernelMachine):
        tally: ClassVar = Counter()

    for number in itertools.count(first_seed):
        run_state_machine_as_test(  # type: ignore[no-untyped-call]
            seed(number)(Machine),
            settings=settings(
                max_examples=MACHINES_PER_ROUND,
                stateful_step_count=STEPS_PER_MACHINE,
                suppress_health_check=list(HealthCheck),
                deadline=None,
                derandomize=False,
                database=None,
                phases=[Phase.generate],  # a failure says its seed; making it small takes minutes
                print_blob=True,
            ),
        )
        if Machine.tally["steps"] >= steps:
            break
    Machine.tally["seeds"] = number + 1 - first_seed
    return Machine.tally


def test_random_vats_random_ends_and_random_kills(tally: Tally) -> None:
    steps = 10_000 if sys.platform != "emscripten" else 2_500  # which is three times slower
    counts = _run(steps, 0)
    tally("model, seeds from 0", counts)
    assert counts["steps"] >= steps
    assert min(counts.values()) > 0


@pytest.mark.soak(seeded=True)
def test_random_vats_random_ends_and_random_kills_for_long(tally: Tally, soak_seed: int) -> None:
    tally(f"model, seeds from {soak_seed}", _run(30_000, soak_seed))
