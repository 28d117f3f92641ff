"""Kernel services at the kernel's boundary: scripted vats call them, time passes, the kernel is killed."""

from __future__ import annotations

from ast import literal_eval
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kernel_py.core import kmarshal
from kernel_py.core.kmarshal import Ref
from kernel_py.core.outputs import Invoke
from kernel_py.core.schema import PromiseState
from kernel_py.core.services.service import HostService
from kernel_py.hosts.memory import RequestFailed
from tests.core.driver import (
    GO,
    JSON,
    ONE_BY_ONE,
    TERMINATED,
    Driver,
    ask,
    data,
    fulfill,
    message,
    notify,
    reject,
    send,
    subscribe,
    text,
    value,
)
from tests.core.strategies import BODIES, WELL_FORMED_CALLS

TIMER = "o-50"
ENDED = '#{"#error":"the service was revoked, or its cluster has ended","name":"Error"}'


def _check(method: str, args: list[Any], kwargs: dict[str, Any], config: Any) -> None:
    if args == ["forbidden"]:
        raise PermissionError(f"not {method} with {kwargs}, says {config}")


MAILER = HostService("mailer", ("mail", "count"), {"type": "object", "required": ["to"]}, _check)
READER = HostService("reader", ("read",), {"type": "object"}, is_idempotent=True)
MAIL: JSON = {"mailer": {"to": "bob"}}


def launch(*services: JSON, limits: Any = ONE_BY_ONE, vats: tuple[str, ...] = ("alice",)) -> Driver:
    """Alice is asked to go (`GO`). Services are what she knows as o-50 and so on; then come other vats."""
    driver = Driver(services=(MAILER, READER), limits=limits)
    driver.launch(*vats, services=services)
    driver.ask("alice")
    return driver


def cluster(*services: JSON) -> dict[str, Any]:
    config = {"bootstrap": "alice", "services": list(services), "vats": {"alice": {"source": "vat.py"}}}
    return {"config": config, "files": {"vat.py": ""}}


def settled(driver: Driver, *resolutions: JSON) -> None:
    """Alice is told of these, and replies with nothing."""
    driver.handle("alice", notify(*resolutions))


def rejection(driver: Driver, vpid: str) -> str:
    """What alice is told that `vpid` was rejected with."""
    kind, resolutions = driver.delivery("alice")
    assert kind == "notify"
    ((name, is_reject, told),) = resolutions
    assert (name, is_reject) == (vpid, True)
    driver.reply("alice")
    return str(told["body"])


# --- grants -----------------------------------------------------------------------------------------


def test_bootstrap_gets_what_the_cluster_file_asks_for_by_name() -> None:
    driver = Driver(services=(MAILER,))
    driver.begin_launch("alice", services=("log", {"mailer": {"to": "bob"}}))
    driver.reply("alice")
    body = '#["bootstrap",[{"alice":"$0.Alleged: alice"},{"log":"$1.Alleged: log","mailer":"$2.Alleged: mailer"}]]'
    assert driver.delivery("alice")[2]["methargs"] == data(body, "o+0", "o-50", "o-51")


def test_each_cluster_has_objects_of_its_own() -> None:
    driver = Driver()
    driver.launch("alice", services=("timer",))
    first = driver.kref("alice", TIMER)
    driver.launch("bob", services=("timer",))
    assert driver.kref("bob", TIMER) != first


def test_an_unknown_service_is_refused_with_its_path(driver: Driver) -> None:
    with pytest.raises(RequestFailed, match="unknown service 'mailer'; this kernel has: timer, log, random") as caught:
        driver.query("launch", **cluster("timer", MAIL))
    assert caught.value.path == "config.services[1]"


def test_a_wrong_configuration_is_refused_with_its_path() -> None:
    driver = Driver(services=(MAILER,))
    with pytest.raises(RequestFailed, match="'to' is missing") as caught:
        driver.query("launch", **cluster({"mailer": {}}))
    assert caught.value.path == "config.services[0].mailer"


def test_services_end_with_their_cluster() -> None:
    driver = launch("timer")
    timer = driver.kref("alice", TIMER)
    driver.launch("carol")
    held = driver.request("send", {"target": driver.root("carol"), "method": "take", "args": timer})
    delay = driver.request("send", {"target": timer, "method": "delay", "args": "60"})
    assert driver.result(delay) is None
    driver.request("terminateCluster", {"cluster": "c1"})
    assert driver.result(delay)["body"] == ENDED
    assert driver.kernel._state.rows("services") == driver.kernel._state.rows("timers") == []
    driver.reply("carol", ask("o-50", "now", [], result="p+1"), subscribe("p+1"), fulfill(GO, text("taken")))
    driver.handle("carol", notify(("p+1", True, data(TERMINATED))))
    assert driver.result(held)["value"] == "'taken'"
    with pytest.raises(RequestFailed, match="or to its cluster"):
        driver.query("send", target=timer, method="now", args="")


def test_a_service_that_is_revoked_owes_nothing_more() -> None:
    driver = launch("timer", MAIL)
    mailer, timer = driver.kref("alice", "o-50"), driver.kref("alice", "o-51")
    driver.reply("alice", ask("o-51", "repeat", [1, 1], "o+1"))
    owed = [
        driver.request("send", {"target": timer, "method": "delay", "args": "60"}),
        driver.request("send", {"target": mailer, "method": "mail", "args": ""}),
    ]
    for kref in (timer, mailer):
        driver.query("revoke", object=kref)
    assert [driver.result(key)["body"] for key in owed] == [ENDED, ENDED]
    assert driver.kernel._state.rows("timers") == driver.kernel._state.rows("calls") == []
    with pytest.raises(RequestFailed, match="was revoked"):
        driver.query("send", target=timer, method="now", args="")


def test_the_objects_of_a_launch_that_failed_are_gone() -> None:
    driver = Driver()
    key = driver.begin_launch("alice", services=("timer", "log"))
    assert len(driver.kernel._state.rows("services")) == 2
    driver.reply("alice", error="Traceback")
    with pytest.raises(RequestFailed, match="Traceback"):
        driver.result(key)
    assert driver.kernel._state.rows("services") == driver.kernel._state.rows("objects") == []


def test_what_a_service_answers_to_is_shown_among_the_objects() -> None:
    driver = launch("timer")
    shown = driver.query("objects")["objects"]
    assert [(row["vat"], row["iface"]) for row in shown] == [("v1", "root of alice"), ("service.timer", "timer")]


# --- calls ------------------------------------------------------------------------------------------


def test_a_call_from_outside_is_answered_at_once() -> None:
    driver = launch("timer")
    driver.now_ms = 4_999
    timer = driver.kref("alice", TIMER)
    driver.turn()
    assert driver.query("send", target=timer, method="now", args="")["value"] == "5.0"


def test_the_answer_to_a_vat_is_a_notify_like_any_other() -> None:
    driver = launch("timer")
    driver.now_ms = 1_499
    driver.turn()
    driver.reply("alice", ask(TIMER, "now", [], result="p+1"), ask(TIMER, "now", [], result="p+2"))
    assert driver.delivery("alice") is None  # nobody has asked yet
    driver.ask("alice")
    driver.reply("alice", subscribe("p+1"), subscribe("p+2"))
    settled(driver, ("p+1", False, data("#1.5")), ("p+2", False, data("#1.5")))


@pytest.mark.parametrize(
    "call, reason",
    [
        (ask(TIMER, "then", []), 'timer has no method \'then\'; it has now, delay, repeat","name":"AttributeError'),
        (ask(TIMER, "__init__", []), "timer has no method '__init__'"),
        (ask(TIMER, "cancel", []), "timer has no method 'cancel'"),
        (ask(TIMER, "now", [1]), "takes 2 positional arguments but 3 were given"),
        (ask(TIMER, "delay", []), "missing 1 required positional argument: 'delay_s'"),
        (ask(TIMER, "delay", ["1"]), "a delay is a number of seconds, not '1'"),
        (ask(TIMER, "delay", [True]), "a delay is a number of seconds, not True"),
        (ask(TIMER, "delay", [-1]), "a delay is from 0 to 1,000,000,000 seconds, not -1"),
        (ask(TIMER, "delay", [float("nan")]), "not nan"),
        (ask(TIMER, "delay", [float("inf")]), "not inf"),
        (ask(TIMER, "delay", [10**5_000]), "not 0x"),
        (ask(TIMER, "delay", [], "o+1"), "a delay is a number of seconds, not <Remotable ko"),
        (ask(TIMER, "repeat", [1, 0], "o+1"), "an interval is longer than 0 seconds"),
        (ask(TIMER, "repeat", [1, 1, {}]), "a handler is an object with a method wake, not {}"),
    ],
)
def test_a_call_that_is_wrong_is_rejected_with_the_reason(call: JSON, reason: str) -> None:
    driver = launch("timer")
    call[2]["result"] = "p+1"
    driver.reply("alice", call, subscribe("p+1"))
    assert reason in rejection(driver, "p+1")
    assert driver.kernel._state.rows("timers") == []


MALFORMED = [body for body in BODIES if isinstance(body, str) and body not in WELL_FORMED_CALLS]


@pytest.mark.parametrize("body", [*MALFORMED, "#[]", "#[7,[]]", '#["now",{}]'])
def test_pitfall_04_no_malformed_call_of_a_service_stops_the_kernel(body: str) -> None:
    driver = launch("timer", "log", "random", MAIL)
    services = ("o-50", "o-51", "o-52", "o-53")
    for number, service in enumerate(services):
        driver.reply("alice", ["send", service, {"methargs": data(body, "o+1"), "result": f"p+{2 * number + 1}"}])
        driver.ask("alice")
    results = [driver.kref("alice", f"p+{2 * number + 1}") for number in range(len(services))]
    assert [driver.promise(kpid).state for kpid in results] == [PromiseState.REJECTED] * len(services)
    assert driver.delivery("alice")  # and everybody else goes on


_ARGUMENTS = st.recursive(
    st.none()
    | st.booleans()
    | st.floats()
    | st.integers(-(10**25), 10**25)
    | st.text(max_size=3)
    | st.binary(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=5,
) | st.just(Ref("o+1"))


@settings(max_examples=200, suppress_health_check=list(HealthCheck), deadline=None)
@given(
    service=st.sampled_from(["o-50", "o-51", "o-52", "o-53"]),
    method=st.sampled_from(["now", "delay", "repeat", "info", "bytes", "integer", "mail", "wake", "__class__", ""]),
    args=st.lists(_ARGUMENTS, max_size=4),
    kwargs=st.dictionaries(st.sampled_from(["call", "self", "delay_s", "count", "low", "x"]), _ARGUMENTS, max_size=2),
)
def test_pitfall_04_whatever_a_service_is_called_with_it_is_answered(
    service: str, method: str, args: list[object], kwargs: dict[str, object]
) -> None:
    driver = launch("timer", "log", "random", MAIL)
    driver.reply("alice", _call(service, method, args, kwargs), subscribe("p+1"), fulfill(GO, text("x")))
    for call in list(driver.invokes):
        driver.answer(call, None)
    driver.wait_until(10**12 + 10**10)
    while driver.inflight:
        driver.reply("alice")
    assert driver.state_of("alice") == "running"
    assert driver.kernel._references.find_kref("v1", "p+1") is None, "never answered"


def _call(service: str, method: str, args: list[object], kwargs: dict[str, object]) -> JSON:
    methargs = kmarshal.serialize_call(method, args, kwargs)
    return ["send", service, {"methargs": data(methargs.body, *methargs.slots), "result": "p+1"}]


def test_an_aborted_crank_has_called_nothing() -> None:
    driver = launch("timer", "random", MAIL)
    random = driver.kernel._state.get("kernel", "nextRandom")
    driver.reply(
        "alice",
        ask("o-50", "mail", ["hi"]),
        ask("o-51", "bytes", [1]),
        ask("o-52", "delay", [1], result="p+1"),
        ["send", "o-99", {}],
    )
    assert driver.state_of("alice") == "terminated"
    assert driver.kernel._state.rows("timers") == driver.kernel._state.rows("calls") == []
    assert not driver.invokes
    assert driver.kernel._state.get("kernel", "nextRandom") == random


def test_a_call_through_a_promise_for_a_service_object_arrives_there() -> None:
    driver = launch("timer")
    driver.now_ms = 1_000
    driver.reply(
        "alice",
        ask(TIMER, "repeat", [5, 5], "o+1", result="p+1"),
        send("p+1", "cancel", result="p+2"),
        send("p+1", "cancel", result="p+3"),
        subscribe("p+2"),
        subscribe("p+3"),
    )
    settled(driver, ("p+2", False, data("#true")), ("p+3", False, data("#false")))


# --- timer ------------------------------------------------------------------------------------------


def test_a_delay_is_settled_when_it_is_due_and_not_before() -> None:
    driver = launch("timer")
    driver.now_ms = 1_000
    driver.turn()
    driver.reply("alice", ask(TIMER, "delay", [2.5], result="p+1"), subscribe("p+1"))
    due_ms = driver.kernel.next_due_ms
    assert due_ms == 1_001 + 2_500
    driver.wait_until(due_ms - 1)
    assert driver.delivery("alice") is None
    driver.wait_until(due_ms)
    settled(driver, ("p+1", False, value(due_ms / 1000)))
    assert driver.kernel.next_due_ms is None
    assert driver.kernel._state.rows("timers") == []


def test_timers_fire_in_the_order_of_their_times_and_of_the_calls() -> None:
    driver = launch("timer")
    delays = [3, 1, 2, 1]
    sends = [ask(TIMER, "delay", [delay], result=f"p+{n}") for n, delay in enumerate(delays, 1)]
    driver.reply("alice", *sends, *(subscribe(f"p+{n}") for n in range(1, 5)))
    driver.wait_until(60_000)
    assert [name for name, _, _ in driver.delivery("alice")[1]] == ["p+2", "p+4", "p+3", "p+1"]


def test_a_delay_whose_kernel_died_is_settled_by_the_next() -> None:
    driver = launch("timer")
    driver.reply("alice", ask(TIMER, "delay", [5], result="p+1"), subscribe("p+1"))
    due_ms = driver.kernel.next_due_ms
    assert due_ms is not None
    driver.reload()
    assert driver.kernel.next_due_ms == due_ms
    driver.wait_until(due_ms)
    settled(driver, ("p+1", False, value(due_ms / 1000)))


def test_the_time_of_a_call_is_that_of_the_reply_it_came_with() -> None:
    """Not that of the last dispatch: the vat may have worked for long."""
    driver = launch("timer")
    driver.kernel.look_at_clock(70_000)
    driver.reply("alice", ask(TIMER, "delay", [1], result="p+1"), subscribe("p+1"))
    assert driver.kernel.next_due_ms == 71_000


def repeat(driver: Driver, delay_s: float, interval_s: float) -> None:
    driver.reply("alice", ask(TIMER, "repeat", [delay_s, interval_s], "o+1", result="p+1"), subscribe("p+1"))
    settled(driver, ("p+1", False, data('#"$0.Alleged: canceller"', "o-51")))


def wake(at_ms: int, number: int) -> JSON:
    return ["message", "o+1", {"methargs": value(["wake", [at_ms / 1000]]), "result": f"p-{number}"}]


def test_a_repeat_wakes_its_handler_on_its_grid() -> None:
    driver = launch("timer")
    driver.now_ms = 999
    driver.turn()
    repeat(driver, 2, 10)
    driver.wait_until(3_000)
    driver.handle("alice", wake(3_000, 62), fulfill("p-62", data("#null")))
    driver.wait_until(13_007)
    driver.handle("alice", wake(13_007, 63), fulfill("p-63", data("#null")))
    assert driver.kernel.next_due_ms == 23_000


def test_a_repeat_waits_for_its_handler_and_leaves_out_what_went_by() -> None:
    driver = launch("timer")
    driver.now_ms = 999
    driver.turn()
    repeat(driver, 1, 1)
    driver.wait_until(2_000)
    assert driver.delivery("alice") == wake(2_000, 62)
    driver.wait_until(5_500)
    assert driver.kernel.next_due_ms is None
    driver.reply("alice", fulfill("p-62", data("#null")))
    assert driver.delivery("alice") is None
    assert driver.kernel.next_due_ms == 6_000


def test_a_repeat_ends_with_the_first_exception_of_its_handler() -> None:
    driver = launch("timer")
    repeat(driver, 1, 1)
    driver.wait_until(driver.kernel.next_due_ms or 0)
    driver.reply("alice", reject("p-62", text("no more")))
    assert driver.kernel._state.rows("timers") == []


def test_a_repeat_ends_with_its_handler_s_vat() -> None:
    driver = launch("timer", vats=("alice", "bob"))
    driver.reply("alice", ask("o-51", "repeat", [1, 1], "o-50"))
    driver.request("terminateVat", {"vat": driver.vat("bob")})
    assert len(driver.kernel._state.rows("timers")) == 1
    driver.wait_until(10_000)
    assert driver.kernel._state.rows("timers") == []


def test_a_repeat_can_be_cancelled_while_its_handler_works() -> None:
    driver = launch("timer")
    repeat(driver, 1, 1)
    driver.wait_until(driver.kernel.next_due_ms or 0)
    canceller = driver.kref("alice", "o-51")
    assert driver.query("send", target=canceller, method="cancel", args="")["value"] == "True"
    assert driver.query("send", target=canceller, method="cancel", args="")["value"] == "False"
    driver.reply("alice", fulfill("p-62", data("#null")))
    assert driver.kernel._state.rows("timers") == []


def test_a_repeat_goes_on_after_the_kernel_s_death_in_the_midst_of_it() -> None:
    driver = launch("timer")
    repeat(driver, 1, 1)
    driver.wait_until(driver.kernel.next_due_ms or 0)
    driver.reload()
    assert driver.kernel.next_due_ms is None
    driver.reply("alice", fulfill("p-62", data("#null")))
    assert driver.kernel.next_due_ms is not None


def test_a_repeat_that_nobody_can_cancel_leaves_no_object_behind() -> None:
    driver = launch("timer")
    driver.reply("alice", ask(TIMER, "repeat", [1, 1], "o+1"))
    assert len(driver.kernel._state.rows("services")) == 1


def test_there_is_a_limit_on_timers() -> None:
    driver = launch("timer", limits=replace(ONE_BY_ONE, service_pending_max=2))
    sends = [ask(TIMER, "delay", [1], result=f"p+{n}") for n in (1, 2, 3)]
    driver.reply("alice", *sends, subscribe("p+3"))
    assert "2 timers are waiting, which is the limit" in rejection(driver, "p+3")


# --- log and random ---------------------------------------------------------------------------------


def test_a_line_of_the_log_leaves_with_the_commit_of_its_cause() -> None:
    driver = launch("log")
    driver.kernel.observe(is_observed=True)
    driver.is_committing = False
    driver.reply("alice", ask("o-50", "warning", ["x is", 7, [1.5]]))
    assert not driver.events
    driver.commit()
    (line,) = [event for event in driver.events if event["class"] == "Logged"]
    target = driver.kref("alice", "o-50")
    assert line == {
        "time_ms": line["time_ms"], "class": "Logged", "cluster": "c1", "target": target, "level": "warning",
        "text": "x is 7 [1.5]",
    }  # fmt: skip


def draw(driver: Driver, method: str, args: str) -> object:
    return literal_eval(driver.query("send", target=driver.kref("alice", "o-50"), method=method, args=args)["value"])


def test_random_numbers_derive_from_the_seed_and_are_never_given_twice() -> None:
    first, second = launch("random"), launch("random")
    numbers = [draw(first, "bytes", "8"), draw(first, "bytes", "8"), draw(first, "integer", "0, 1000000")]
    assert [draw(second, "bytes", "8"), draw(second, "bytes", "8"), draw(second, "integer", "0, 1000000")] == numbers
    second.reload()
    later = [draw(second, "bytes", "8") for _ in range(5)]
    assert len({*numbers[:2], *later}) == 7


def test_random_numbers_are_within_their_bounds() -> None:
    driver = launch("random")
    assert {draw(driver, "integer", "-1, 1") for _ in range(40)} == {-1, 0, 1}
    assert draw(driver, "integer", "5, 5") == 5
    assert draw(driver, "bytes", "0") == b""
    assert len(draw(driver, "bytes", "1000")) == 1_000  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "method, args, reason",
    [
        ("bytes", "65537", "count is from 0 to 65,536, not 65537"),
        ("bytes", "-1", "count is from 0"),
        ("bytes", "1.0", "count is an int, not 1.0"),
        ("integer", "True, 2", "low is an int, not True"),
        ("integer", "2, 1", "low must not be above high, as 2 is above 1"),
    ],
)
def test_random_numbers_that_cannot_be(method: str, args: str, reason: str) -> None:
    driver = launch("random")
    settlement = driver.query("send", target=driver.kref("alice", "o-50"), method=method, args=args)
    assert settlement["status"] == "rejected"
    assert reason in settlement["value"]


def test_a_realm_is_not_told_the_seed_from_which_others_and_the_kernel_derive_theirs() -> None:
    driver = Driver()
    driver.launch("alice", "bob")
    kernel = driver.kernel
    seeds = {kernel.get_spec(vat, kernel.get_life(vat)[0], {}).seed for vat in ("v1", "v2")}
    assert len(seeds) == 2
    assert "seed" not in seeds


# --- services of the host ---------------------------------------------------------------------------


def test_a_host_s_service_is_invoked_after_the_commit_of_the_call() -> None:
    driver = launch(MAIL)
    driver.is_committing = False
    driver.reply("alice", _call("o-50", "mail", ["hi", b"x"], {"urgent": True}), subscribe("p+1"))
    assert driver.kernel.is_busy
    commit = driver.kernel.take_commit()
    assert [invoke for invoke in commit.invokes if invoke.method] == [
        Invoke("1", "mailer", "mail", ["hi", b"x"], {"urgent": True}, {"to": "bob"})
    ]
    assert "calls.1" in commit.delta.puts
    driver.kernel.service_answered("1", {"sent": True})
    driver.is_checking = False
    driver.turn()
    settled(driver, ("p+1", False, data('#{"sent":true}')))
    assert not driver.kernel._state.rows("calls")


def test_an_exception_of_a_host_s_service_rejects_the_call() -> None:
    driver = launch(MAIL)
    driver.reply("alice", ask("o-50", "mail", [], result="p+1"), subscribe("p+1"))
    driver.answer("1", TimeoutError("no answer"))
    assert rejection(driver, "p+1") == '#{"#error":"no answer","name":"TimeoutError"}'


@pytest.mark.parametrize("answer", [object(), [{1: 2}], Ref("ko20"), [Ref("kp40")]])
def test_an_answer_that_cannot_be_passed_rejects_the_call(answer: object) -> None:
    driver = launch(MAIL)
    driver.reply("alice", ask("o-50", "mail", [], result="p+1"), subscribe("p+1"))
    driver.answer("1", answer)
    assert '"name":"TypeError"' in rejection(driver, "p+1")


def test_a_host_s_service_may_answer_with_an_object_that_it_was_given() -> None:
    driver = launch(MAIL)
    driver.reply("alice", ask("o-50", "mail", [], "o+1", result="p+1"), subscribe("p+1"))
    driver.answer("1", [driver.invokes["1"].args[0]])
    assert driver.delivery("alice")[1][0][2]["slots"] == ["o+1"]


def test_a_call_that_its_service_does_not_allow_never_leaves_the_kernel() -> None:
    driver = launch(MAIL)
    driver.reply("alice", ask("o-50", "mail", ["forbidden"], result="p+1"), subscribe("p+1"))
    assert rejection(driver, "p+1") == (
        """#{"#error":"not mail with {}, says {'to': 'bob'}","name":"PermissionError"}"""
    )
    assert not driver.invokes


def test_a_call_without_a_result_is_made_all_the_same() -> None:
    driver = launch(MAIL)
    driver.reply("alice", ask("o-50", "mail", ["hi"]))
    driver.answer("1", None)
    assert not driver.kernel._state.rows("calls")


def test_pitfall_18_a_call_whose_outcome_the_kernel_s_death_hid_is_rejected_as_interrupted() -> None:
    driver = launch(MAIL)
    driver.reply("alice", ask("o-50", "mail", ["hi"], result="p+1"), subscribe("p+1"))
    assert driver.invokes
    driver.reload()
    assert not driver.invokes
    assert "may have been carried out, or not" in rejection(driver, "p+1")
    driver.kernel.service_answered("1", "late")
    driver.turn()
    assert driver.delivery("alice") is None


def test_pitfall_18_a_call_that_was_not_committed_was_not_made_and_comes_again_with_its_crank() -> None:
    driver = launch(MAIL)
    driver.is_committing = False
    driver.reply("alice", ask("o-50", "mail", ["hi"], result="p+1"), subscribe("p+1"))
    driver.is_committing = True
    driver.reload()
    assert not driver.invokes
    driver.handle("alice", message("o+0", "go", result=GO), ask("o-50", "mail", ["hi"], result="p+1"))
    assert driver.invokes["1"].args == ["hi"]


def test_a_call_of_an_idempotent_service_is_made_again_by_the_next_kernel() -> None:
    driver = launch("reader")
    driver.reply("alice", ask("o-50", "read", ["x"], "o+1", result="p+1"), subscribe("p+1"))
    before = driver.invokes["1"]
    driver.reload()
    assert driver.invokes == {"1": before}
    driver.answer("1", 7)
    settled(driver, ("p+1", False, data('#"+7"')))


def test_a_kernel_without_the_service_boots_and_rejects_its_calls() -> None:
    driver = launch("reader")
    driver.reply("alice", ask("o-50", "read", ["x"], result="p+1"), subscribe("p+1"))
    driver.services = ()
    driver.reload()
    assert "InterruptedError" in rejection(driver, "p+1")
    driver.ask("alice")
    driver.reply("alice", ask("o-50", "read", ["x"], result="p+3"), subscribe("p+3"))
    assert "this kernel has no service 'reader'" in rejection(driver, "p+3")


def test_calls_end_with_their_cluster() -> None:
    driver = launch(MAIL)
    mailer = driver.kref("alice", "o-50")
    call = driver.request("send", {"target": mailer, "method": "mail", "args": "'hi'"})
    driver.request("terminateCluster", {"cluster": "c1"})
    assert driver.result(call)["body"] == ENDED
    driver.answer("1", "late")
    assert not driver.kernel.is_busy


def test_there_is_a_limit_on_calls() -> None:
    driver = launch(MAIL, limits=replace(ONE_BY_ONE, service_pending_max=2))
    driver.reply("alice", *(ask("o-50", "mail", [], result=f"p+{n}") for n in (1, 2, 3)), subscribe("p+3"))
    assert "2 calls are waiting, which is the limit" in rejection(driver, "p+3")
    driver.answer("1", None)
    driver.ask("alice")
    driver.reply("alice", ask("o-50", "mail", [], result="p+4"))
    assert "3" in driver.invokes
