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
import json
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from kernel_py.core.cluster_config import COMMAND_KIND, VAT_KINDS
from kernel_py.core.schema import PromiseState, is_service
from kernel_py.core.services.service import NO_CONFIG, HostService
from kernel_py.wire.limits import DEFAULT_LIMITS
from tests.core.driver import JSON, Driver, ask, fulfill, text
from tests.core.strategies import SHAPED_SYSCALLS, Vocabulary, draw_batch

VATS_MAX = 6

SERVICES = (
    HostService("mailer", ("mail",), NO_CONFIG),
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
    """Random steps over a `Driver`."""

    clusters = Bundle("clusters")

    def __init__(self) -> None:
        super().__init__()
        limits = replace(DEFAULT_LIMITS, deliveries_inflight_max=3, created_vats_max=2)
        self.driver = Driver(limits=limits, services=SERVICES, kinds=(*VAT_KINDS, COMMAND_KIND))
        self.driver.is_committing = False
        self.book = Book()
        self.committed = copy.deepcopy(self.book)
        self.answers: dict[str, str] = {}

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

    def draw_busy_vat(self, data: Any) -> str:
        return str(data.draw(st.sampled_from(sorted(self.driver.inflight))))

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
        for vat in sorted(self.driver.inflight):
            self.finish(vat, [], is_audited=False)
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

    @rule(data=st.data())
    def ask(self, data: Any) -> None:
        self.ask_someone(data)

    def ask_someone(self, data: Any) -> bool:
        """Send a message from outside to something that may answer. Returns whether it was delivered at once."""
        state = self.driver.kernel._state
        objects = [kref for kref in state.rows("objects") if state.get("objects", kref).owner is not None]
        krefs = objects + state.rows("promises")
        if not krefs:
            return False
        target, arg = data.draw(st.sampled_from(krefs)), data.draw(st.sampled_from(krefs))
        self.request("send", {"target": target, "method": "ask", "args": arg})
        return bool(self.driver.inflight)

    @precondition(lambda self: self.living())
    @rule(data=st.data(), reason=st.sampled_from(["enough", "again"]))
    def terminate_vat(self, data: Any, reason: str) -> None:
        if data.draw(st.integers(0, 3)) == 0:
            self.request("terminateVat", {"vat": data.draw(st.sampled_from(self.living())), "reason": reason})

    @rule(data=st.data())
    def terminate_cluster(self, data: Any) -> None:
        clusters = self.driver.kernel._state.rows("clusters")
        if clusters and data.draw(st.integers(0, 7)) == 0:
            self.request("terminateCluster", {"cluster": data.draw(st.sampled_from(clusters))})

    @precondition(lambda self: self.living())
    @rule(data=st.data(), source=st.sampled_from(["a.py", "b.py"]))
    def upgrade_vat(self, data: Any, source: str) -> None:
        if data.draw(st.integers(0, 1)) == 0:
            vat = data.draw(st.sampled_from(self.living()))
            self.request("upgradeVat", {"vat": vat, "files": {source: ""}, "source": source})

    @precondition(lambda self: self.living())
    @rule(data=st.data(), method=st.sampled_from(["pauseVat", "resumeVat", "resumeVat", "restartVat"]))
    def pause_resume_or_restart(self, data: Any, method: str) -> None:
        self.request(method, {"vat": data.draw(st.sampled_from(self.living()))})

    @rule(data=st.data(), method=st.sampled_from(["revoke", "pin", "unpin"]))
    def change_an_object(self, data: Any, method: str) -> None:
        krefs = self.driver.kernel._state.rows("objects")
        if krefs and data.draw(st.integers(0, 3)) == 0:
            self.request(method, {"object": data.draw(st.sampled_from(krefs))})

    @rule(data=st.data())
    def reload_cluster(self, data: Any) -> None:
        clusters = self.driver.kernel._state.rows("clusters")
        if clusters and len(self.living()) <= VATS_MAX // 2 and data.draw(st.integers(0, 7)) == 0:
            self.request("reloadCluster", {"cluster": data.draw(st.sampled_from(clusters))})

    @rule()
    def collect_garbage(self) -> None:
        self.request("collectGarbage", {})

    @precondition(lambda self: self.book.keys)
    @rule(data=st.data())
    def acknowledge(self, data: Any) -> None:
        self.driver.acknowledge(data.draw(st.sampled_from(self.book.keys)))

    # --- steps: vats ----------------------------------------------------------------------------

    @rule(data=st.data(), count=st.integers(1, 12), is_audited=st.booleans())
    def reply(self, data: Any, count: int, is_audited: bool) -> None:
        """What vats mostly do; those that have nothing to do are given something."""
        for _ in range(count):
            if not self.driver.inflight and not self.ask_someone(data):
                return
            vat = self.draw_busy_vat(data)
            is_start = self.driver.delivery(vat)[0] == "startVat"  # what it still has is gone when it is complete
            batch = [] if is_start else draw_batch(data.draw, self.driver.kernel, vat, self.name_message)
            self.finish(vat, batch, is_audited=is_audited)

    reply_again = reply

    @rule(data=st.data())
    def call_services(self, data: Any) -> None:
        """Calls that a service understands; `reply` sends them what they do not."""
        if not self.driver.inflight and not self.ask_someone(data):
            return
        kernel = self.driver.kernel
        vat = self.draw_busy_vat(data)
        batch = draw_batch(data.draw, kernel, vat, self.name_message)
        words = Vocabulary(kernel, vat)
        rows = {vref: kernel._state.get("services", self.driver.kref(vat, vref)) for vref in words.objects}
        services = {vref: row.service for vref, row in rows.items() if row is not None}
        used = {syscall[2]["result"] for syscall in batch if syscall[0] == "send"}
        if not services or any(syscall[0] == "exit" for syscall in batch):
            return
        for number in range(data.draw(st.integers(1, 6))):
            result = data.draw(st.sampled_from([f"p+{9_000 + self.book.count + number}", None]))
            target = data.draw(st.sampled_from(list(services)))
            method, args, slots = data.draw(st.sampled_from(CALLS[services[target]]))
            assert result not in used or result is None
            batch.append(ask(target, method, args, *slots, result=result))
            batch += [["subscribe", result]] if result else []
        self.book.count += 10
        self.finish(vat, batch, is_audited=False)

    call_services_again = call_services

    @precondition(lambda self: self.driver.invokes)
    @rule(data=st.data())
    def answer_a_call(self, data: Any) -> None:
        before = self.all_in_flight()
        call = data.draw(st.sampled_from(sorted(self.driver.invokes)))
        self.driver.answer(call, data.draw(st.sampled_from([None, 7, [b"x"], ValueError("no"), object()])))
        self.after(before)

    @rule(seconds=st.sampled_from([0.1, 1, 3, 1_000]))
    def let_time_pass(self, seconds: float) -> None:
        before = self.all_in_flight()
        self.driver.wait_until(self.driver.now_ms + int(1_000 * seconds))
        self.after(before)

    @precondition(lambda self: self.driver.inflight)
    @rule(data=st.data())
    def break_a_rule(self, data: Any) -> None:
        if data.draw(st.integers(0, 4)):
            return
        vat = self.draw_busy_vat(data)
        before = self.all_in_flight()
        is_upgrade = self.driver.delivery(vat)[0] == "startVat"
        batch = draw_batch(data.draw, self.driver.kernel, vat, lambda: "never sent")
        self.driver.reply(vat, *batch, ["send", "o-99", "illegal"], data.draw(SHAPED_SYSCALLS))
        assert vat not in self.living() or is_upgrade
        self.after(before)

    @precondition(lambda self: self.driver.inflight)
    @rule(data=st.data())
    def fail(self, data: Any) -> None:
        vat = self.draw_busy_vat(data)
        before = self.all_in_flight()
        if data.draw(st.integers(0, 5)) == 0:
            self.driver.reply(vat, error="Traceback")
            self.after(before)

    @precondition(lambda self: self.driver.inflight)
    @rule(data=st.data())
    def lose_a_worker(self, data: Any) -> None:
        vat = self.draw_busy_vat(data)
        before = self.all_in_flight()
        number = json.loads(self.driver.inflight[vat])[1]
        self.driver.lose(vat)
        if self.in_flight(vat) != before[vat]:
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


def _run(examples: int, steps: int) -> None:
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        KernelMachine,
        settings=settings(
            max_examples=examples, stateful_step_count=steps, suppress_health_check=list(HealthCheck), deadline=None
        ),
    )


def test_random_vats_random_ends_and_random_kills() -> None:
    _run(100, 50)


@pytest.mark.soak
def test_random_vats_random_ends_and_random_kills_for_long() -> None:
    _run(5_000, 100)
