"""Deliveries in, syscalls out: the order that the kernel relies on. Source: the reference, 4.2."""

from __future__ import annotations

import dataclasses

import pytest

from kernel_py.wire.limits import DEFAULT_LIMITS
from kernel_py.wire.passable import Symbol, Undefined
from tests.vat.driving import DeliveryError, DrivenVat, Ref, capdata, show

OTHER = Ref("o-50", "Other")


# Messages in -----------------------------------------------------------------------------------


def test_a_synchronous_method_resolves_its_result():
    vat = DrivenVat("""
        class Root(Exo):
            def add(self, a, b, *, c=0): return a + b + c
        """)
    assert vat.call("add", 1, 2) == [("resolve", ("p-60", 3))]
    assert vat.call("add", 1, 2, c=4, result="p-61") == [("resolve", ("p-61", 7))]


def test_an_asynchronous_method_resolves_its_result_when_it_returns():
    vat = DrivenVat("""
        class Root(Exo):
            async def later(self):
                await asyncio.sleep(0)
                return "done"
        """)
    assert vat.call("later") == [("resolve", ("p-60", "done"))]


def test_a_raising_method_rejects_its_result_and_the_console_has_the_traceback():
    vat = DrivenVat("""
        class Root(Exo):
            def fail(self):
                self.deeper()
            def deeper(self):
                raise KeyError("what")
        """)
    [[_, [[vpid, is_reject, data]]]] = vat.deliver_raw(
        ["message", "o+0", {"methargs": capdata(["fail", []]), "result": "p-60"}]
    )
    assert (vpid, is_reject) == ("p-60", True)
    assert data["body"] == '#{"#error":"!\'what\'","errorId":"error:liveSlots:v1#70001","name":"KeyError"}'
    assert vat.console[0] == "error:liveSlots:v1#70001: Traceback (most recent call last):"
    assert [line.strip() for line in vat.console if line.strip().startswith(("File", "raise"))] == [
        'File "v1/main.py", line 6, in fail',
        'File "v1/main.py", line 8, in deeper',
        'raise KeyError("what")',
    ]


def test_a_message_without_result_resolves_nothing_and_its_failure_goes_to_the_console():
    vat = DrivenVat("""
        class Root(Exo):
            def note(self): return 1
            def fail(self): raise ValueError("unseen")
            async def fail_later(self): raise ValueError("unseen later")
        """)
    assert vat.call("note", result=None) == []
    assert vat.call("fail", result=None) == []
    assert vat.console[-1] == "ValueError: unseen"
    assert vat.call("fail_later", result=None) == []
    assert vat.console[-1] == "ValueError: unseen later"


@pytest.mark.parametrize(
    "call",
    [
        3,
        None,
        [],
        ["increment"],
        [None, []],
        [3, []],
        ["increment", {}],
        ["increment", [], []],
        ["increment", [], {}, 1],
    ],
)
def test_a_message_that_is_none_is_rejected(call):
    vat = DrivenVat("class Root(Exo):\n    def increment(self): return 1")
    [(kind, (vpid, verdict, _))] = vat.deliver(["message", "o+0", {"methargs": capdata(call), "result": "p-60"}])
    assert (kind, vpid, verdict) == ("resolve", "p-60", "rejected")


@pytest.mark.parametrize(
    "data",
    [
        {"body": "no smallcaps", "slots": []},
        {"body": "#{", "slots": []},
        {"body": '#["f",["$0"]]', "slots": []},
        {"body": '#["f",["$0"]]', "slots": ["p-70"]},
        {"body": '#["f",["&0"]]', "slots": ["o-70"]},
        {"body": '#["f",["$0"]]', "slots": ["o+70"]},
        {"body": '#["f",["&0"]]', "slots": ["p+70"]},
        {"body": "#" + "[" * 100_000, "slots": []},
    ],
)
def test_arguments_that_cannot_be_decoded_reject_the_message_and_hurt_nobody(data):
    vat = DrivenVat("class Root(Exo):\n    def f(self, *args): return 1")
    [(kind, (vpid, verdict, _))] = vat.deliver(["message", "o+0", {"methargs": data, "result": "p-60"}])
    assert (kind, vpid, verdict) == ("resolve", "p-60", "rejected")
    assert vat.call("f") == [("resolve", ("p-60", 1))]


def test_a_message_to_what_was_never_exported_is_the_kernels_mistake():
    vat = DrivenVat("class Root(Exo): pass")
    with pytest.raises(DeliveryError, match=r"o\+7 is not a reference of this vat"):
        vat.call("f", target="o+7")


def test_new_promises_in_arguments_are_subscribed_to_as_they_are_decoded():
    vat = DrivenVat("""
        class Root(Exo):
            def take(self, *args): E(args[-1]).used()
        """)
    assert vat.call("take", Ref("p-65"), Ref("p-63"), [Ref("p-65"), Ref("p-61")], OTHER) == [
        ("subscribe", "p-65"),
        ("subscribe", "p-63"),
        ("subscribe", "p-61"),
        ("send", "o-50", "used", [], "p+5"),
        ("subscribe", "p+5"),
        ("resolve", ("p-60", None)),
    ]
    assert vat.call("take", Ref("p-63"), OTHER, result="p-66")[0] == ("send", "o-50", "used", [], "p+6")


def test_far_functions_are_called_and_have_no_methods():
    vat = DrivenVat("""
        class Root(Exo):
            def make(self):
                def double(n): return 2 * n
                return far(double)
        """)
    [(_, (_, function))] = vat.call("make")
    assert (function, function.iface) == (Ref("o+1"), "double")
    assert vat.call(Undefined, 4, target="o+1") == [("resolve", ("p-60", 8))]
    [(_, (_, _, error))] = vat.call("double", 4, target="o+1")
    assert error == "AttributeError: double has no method 'double'; it is a function, to be called itself"
    [(_, (_, _, error))] = vat.call(Undefined, 4)
    assert error == "TypeError: Root is not a function; it has: make"
    [(_, (_, _, error))] = vat.call(Symbol("@@asyncIterator"))
    assert error == "TypeError: a method's name is text, not Symbol"


# Sends -----------------------------------------------------------------------------------------


def test_a_send_is_followed_by_a_subscription_wanted_or_not():
    vat = DrivenVat("""
        class Root(Exo):
            def ask(self, other):
                E(other).first(1, "two")
                E(other).second(three=3.0)
                E(other)(4)
        """)
    assert vat.call("ask", OTHER) == [
        ("send", "o-50", "first", [1, "two"], "p+5"),
        ("subscribe", "p+5"),
        ("send", "o-50", "second", [], {"three": 3.0}, "p+6"),
        ("subscribe", "p+6"),
        ("send", "o-50", Undefined, [4], "p+7"),
        ("subscribe", "p+7"),
        ("resolve", ("p-60", None)),
    ]


def test_send_only_sends_with_no_result():  # pitfall 13: it sent nothing at all
    vat = DrivenVat("""
        class Root(Exo):
            def tell(self, other): return E.send_only(other).note(1)
        """)
    assert vat.call("tell", OTHER) == [("send", "o-50", "note", [1], None), ("resolve", ("p-60", None))]


def test_a_send_to_a_result_or_an_imported_promise_is_pipelined_to_the_kernel():
    vat = DrivenVat("""
        class Root(Exo):
            def chain(self, other, promise):
                E(E(other).first()).second()
                E(promise).third()
        """)
    assert vat.call("chain", OTHER, Ref("p-61")) == [
        ("subscribe", "p-61"),
        ("send", "o-50", "first", [], "p+5"),
        ("subscribe", "p+5"),
        ("send", "p+5", "second", [], "p+6"),
        ("subscribe", "p+6"),
        ("send", "p-61", "third", [], "p+7"),
        ("subscribe", "p+7"),
        ("resolve", ("p-60", None)),
    ]


def test_a_send_to_a_promise_of_this_vat_waits_for_it():
    vat = DrivenVat("""
        class Root(Exo):
            def prepare(self):
                self.promise, self.resolver = make_promise()
                E(self.promise).first(1)
                E(self.promise).second(2)
            def settle(self, other):
                self.resolver.resolve(other)
                E(self.promise).third(3)
        """)
    assert vat.call("prepare") == [("resolve", ("p-60", None))]
    assert vat.call("settle", OTHER) == [
        ("resolve", ("p-60", None)),
        ("send", "o-50", "first", [1], "p+5"),
        ("subscribe", "p+5"),
        ("send", "o-50", "second", [2], "p+6"),
        ("subscribe", "p+6"),
        ("send", "o-50", "third", [3], "p+7"),
        ("subscribe", "p+7"),
    ]


def test_what_was_sent_to_a_promise_of_this_vat_is_pipelined_when_it_follows_one_of_another():
    vat = DrivenVat("""
        class Root(Exo):
            def ask(self, other):
                outer, outer_resolver = make_promise()
                inner, inner_resolver = make_promise()
                E(outer).first()
                outer_resolver.resolve(inner)
                E(outer).second()
                E(inner).third()
                inner_resolver.resolve(E(other).get())
                E(inner).fourth()
                E(outer).fifth()
        """)
    sends = [syscall[1:3] for syscall in vat.call("ask", OTHER) if syscall[0] == "send"]
    assert sends[0] == ("o-50", "get")
    assert {target for target, _ in sends[1:]} == {"p+5"}
    methods = [method for _, method in sends[1:]]
    assert [method for method in methods if method in {"first", "second", "fifth"}] == ["first", "second", "fifth"]
    assert [method for method in methods if method in {"third", "fourth"}] == ["third", "fourth"]


def test_results_of_messages_that_waited_here_are_pipelined_too():
    vat = DrivenVat("""
        class Root(Exo):
            def ask(self, promise):
                E(E(promise).get()).use()
            def settled(self, promise):
                self.promise = promise
            def ask_settled(self):
                E(E(self.promise).get()).use()
        """)
    vat.call("settled", Ref("p-61"))
    vat.notify(("p-61", OTHER))
    assert vat.call("ask_settled") == [
        ("resolve", ("p-60", None)),
        ("send", "o-50", "get", [], "p+5"),
        ("subscribe", "p+5"),
        ("send", "p+5", "use", [], "p+6"),
        ("subscribe", "p+6"),
    ]


def test_new_argument_promises_are_followed_and_resolved_when_they_settle():
    vat = DrivenVat("""
        class Root(Exo):
            def ask(self, other):
                self.promise, self.resolver = make_promise()
                E(other).take(self.promise)
            def settle(self):
                self.resolver.resolve("now")
        """)
    assert vat.call("ask", OTHER) == [
        ("send", "o-50", "take", [Ref("p+5")], "p+6"),
        ("subscribe", "p+6"),
        ("resolve", ("p-60", None)),
    ]
    assert vat.call("settle") == [("resolve", ("p-60", None)), ("resolve", ("p+5", "now"))]


def test_a_promise_that_settled_before_it_was_ever_sent_is_resolved_in_a_later_job():
    vat = DrivenVat("""
        class Root(Exo):
            def ask(self, other):
                promise, resolver = make_promise()
                resolver.resolve("early")
                E(other).take(promise)
        """)
    assert vat.call("ask", OTHER) == [
        ("send", "o-50", "take", [Ref("p+5")], "p+6"),
        ("subscribe", "p+6"),
        ("resolve", ("p-60", None)),
        ("resolve", ("p+5", "early")),
    ]


def test_a_promise_sent_again_after_it_settled_has_a_new_name_and_is_resolved_before_the_subscription():
    vat = DrivenVat("""
        class Root(Exo):
            def ask(self, other):
                self.other = other
                self.answer = E(other).ask()
            def again(self):
                E(self.other).take(self.answer)
        """)
    vat.call("ask", OTHER)
    assert vat.call("again") == [
        ("send", "o-50", "take", [Ref("p+5")], "p+6"),
        ("subscribe", "p+6"),
        ("resolve", ("p-60", None)),
    ]
    assert vat.notify(("p+5", "answer")) == []
    assert vat.call("again") == [
        ("send", "o-50", "take", [Ref("p+7")], "p+8"),
        ("resolve", ("p+7", "answer")),
        ("subscribe", "p+8"),
        ("resolve", ("p-60", None)),
    ]


def test_known_settlements_are_sent_with_all_that_they_lead_to():
    vat = DrivenVat("""
        class Root(Exo):
            def take(self, other, promise):
                self.other, self.promise = other, promise
            def again(self):
                new, _ = make_promise()
                E(self.other).see([self.promise, new])
        """)
    vat.call("take", OTHER, Ref("p-61"))
    assert vat.notify(("p-61", [Ref("p-62"), Ref("p-63")]), ("p-62", ValueError("no"), "rejected")) == [
        ("subscribe", "p-63"),
    ]
    assert vat.call("again") == [
        ("send", "o-50", "see", [[Ref("p+5"), Ref("p+6")]], "p+7"),
        ("resolve", ("p+5", [Ref("p+8"), Ref("p-63")]), ("p+8", "rejected", "ValueError: no")),
        ("subscribe", "p+7"),
        ("resolve", ("p-60", None)),
    ]


def test_an_unpassable_argument_raises_at_the_send_and_sends_nothing():
    vat = DrivenVat("""
        class Counter(Exo): pass
        class Root(Exo):
            def ask(self, other):
                promise, _ = make_promise()
                try:
                    E(other).take({"owner": [Counter(), promise, 1j]})
                except MarshalError as error:
                    return [str(error), error.path]
            def keyword(self, other):
                E(other).take(amount={1, 2})
            def fine(self, other):
                E(other).take(Counter())
        """)
    [(_, (_, (text, path)))] = vat.call("ask", OTHER)
    assert path == "args[0]['owner'][2]"
    assert text.startswith("args[0]['owner'][2]: a complex is not passable")
    [(_, (_, _, text))] = vat.call("keyword", OTHER)
    assert text.startswith("MarshalError: kwargs['amount']: a set is not passable")
    assert vat.call("fine", OTHER)[0] == ("send", "o-50", "take", [Ref("o+2")], "p+6")


def test_a_send_over_a_limit_raises_and_sends_nothing():
    vat = DrivenVat(
        """
        class Root(Exo):
            def ask(self, other, size):
                E(other).take("x" * size)
        """,
        limits=dataclasses.replace(DEFAULT_LIMITS, body_chars_max=1000),
    )
    [(_, (_, verdict, text))] = vat.call("ask", OTHER, 2000)
    assert (verdict, text.partition(":")[0]) == ("rejected", "MarshalError")
    assert vat.call("ask", OTHER, 900)[0][:3] == ("send", "o-50", "take")


def test_too_many_sends_in_one_delivery_raise_and_leave_room_for_the_rest():
    vat = DrivenVat(
        """
        class Root(Exo):
            def flood(self, other):
                count = 0
                try:
                    while True:
                        E(other).f()
                        count += 1
                except MarshalError as error:
                    return count
        """,
        limits=dataclasses.replace(DEFAULT_LIMITS, batch_syscalls_max=100),
    )
    syscalls = vat.call("flood", OTHER)
    assert syscalls[-1] == ("resolve", ("p-60", 45))
    assert len(syscalls) == 91


# Settlements -----------------------------------------------------------------------------------


def test_a_result_over_a_limit_is_rejected_instead():
    vat = DrivenVat(
        "class Root(Exo):\n    def big(self): return 'x' * 2000\n    def small(self): return 1",
        limits=dataclasses.replace(DEFAULT_LIMITS, body_chars_max=1000),
    )
    [(_, (vpid, verdict, text))] = vat.call("big")
    assert (vpid, verdict) == ("p-60", "rejected")
    assert text.startswith("MarshalError: ")
    assert vat.call("small") == [("resolve", ("p-60", 1))]


@pytest.mark.parametrize("keyword", ["def", "async def"])
def test_an_unpassable_result_is_rejected_with_its_path(keyword):
    vat = DrivenVat(f"class Root(Exo):\n    {keyword} odd(self): return dict(a=[print])")
    [(_, (_, verdict, text))] = vat.call("odd")
    assert (verdict, text.partition(" a ")[0]) == ("rejected", "MarshalError: result['a'][0]:")


def test_a_promise_returned_is_followed():
    vat = DrivenVat("""
        class Root(Exo):
            def relay(self, other): return E(other).ask()
        """)
    assert vat.call("relay", OTHER) == [("send", "o-50", "ask", [], "p+5"), ("subscribe", "p+5")]
    assert vat.notify(("p+5", [1])) == [("resolve", ("p-60", [1]))]
    assert vat.call("relay", OTHER, result="p-61") == [("send", "o-50", "ask", [], "p+6"), ("subscribe", "p+6")]
    assert vat.notify(("p+6", KeyError("k"), "rejected")) == [("resolve", ("p-61", "rejected", "KeyError: 'k'"))]


def test_tasks_futures_and_coroutines_are_promises():
    vat = DrivenVat("""
        async def value(n): return n
        class Root(Exo):
            def task(self): return asyncio.ensure_future(value(1))
            def future(self):
                self.pending = asyncio.get_running_loop().create_future()
                return self.pending
            def settle(self): self.pending.set_result(2)
            def argument(self, other):
                coroutine = value(3)
                E(other).take(coroutine, [coroutine])
        """)
    assert vat.call("task") == [("resolve", ("p-60", 1))]
    assert vat.call("future", result="p-61") == []
    assert vat.call("settle") == [("resolve", ("p-60", None)), ("resolve", ("p-61", 2))]
    assert vat.call("argument", OTHER) == [
        ("send", "o-50", "take", [Ref("p+5"), [Ref("p+5")]], "p+6"),
        ("subscribe", "p+6"),
        ("resolve", ("p-60", None)),
        ("resolve", ("p+5", 3)),
    ]


def test_a_settlement_carries_the_known_settlements_that_it_mentions_and_follows_new_promises_by_name():
    vat = DrivenVat("""
        class Root(Exo):
            def take(self, promise): self.promise = promise
            def give(self):
                promises = [make_promise()[0] for _ in range(9)]
                return [self.promise, promises]
        """)
    vat.call("take", Ref("p-61"))
    vat.notify(("p-61", "known"))
    assert vat.call("give") == [
        ("resolve", ("p-60", [Ref("p+5"), [Ref(f"p+{n}") for n in range(6, 15)]]), ("p+5", "known"))
    ]


def test_promises_that_mention_each_other_settle_one_after_the_other_under_a_name_that_is_known():
    vat = DrivenVat("""
        class Root(Exo):
            def make(self, other):
                (self.a, self.ra), (self.b, self.rb) = make_promise(), make_promise()
                E(other).take(self.a, self.b)
            def settle(self):
                self.ra.resolve([self.b])
                self.rb.resolve([self.a])
        """)
    vat.call("make", OTHER)
    assert vat.call("settle") == [
        ("resolve", ("p-60", None)),
        ("resolve", ("p+5", [Ref("p+6")])),
        ("resolve", ("p+6", [Ref("p+8")]), ("p+8", [Ref("p+6")])),
    ]


def test_a_promise_whose_value_contains_itself_settles():
    vat = DrivenVat("""
        class Root(Exo):
            def cycle(self):
                promise, resolver = make_promise()
                resolver.resolve([promise])
                return promise
        """)
    assert vat.call("cycle") == [
        ("resolve", ("p-60", [Ref("p+5")])),
        ("resolve", ("p+5", [Ref("p+5")])),
    ]


def test_a_long_chain_of_known_promises_is_resolved_in_one_batch():
    vat = DrivenVat("""
        class Root(Exo):
            def take(self, promise): self.promise = promise
            def give(self): return [self.promise]
        """)
    length = 3000
    vat.call("take", Ref("p-100"))
    vat.notify(*((f"p-{100 + n}", [Ref(f"p-{101 + n}")]) for n in range(length)))
    [(kind, *resolutions)] = vat.call("give")
    assert (kind, len(resolutions)) == ("resolve", length + 1)


# Notifications ---------------------------------------------------------------------------------


def test_notified_promises_settle_and_what_waits_for_them_goes_on():
    vat = DrivenVat("""
        class Root(Exo):
            async def wait(self, promise):
                try:
                    return await promise
                except ValueError as error:
                    return ["caught", type(error).__name__, str(error), error]
        """)
    assert vat.call("wait", Ref("p-61")) == [("subscribe", "p-61")]
    assert vat.notify(("p-61", {"a": OTHER})) == [("resolve", ("p-60", {"a": OTHER}))]
    vat.call("wait", Ref("p-62"), result="p-63")
    [(_, (_, (caught, name, text, error)))] = vat.notify(("p-62", ValueError("v"), "rejected"))
    assert (caught, name, text, error.name) == ("caught", "RemoteValueError", "v", "ValueError")


def test_a_rejection_with_what_is_no_error_is_raised_as_one():
    vat = DrivenVat("""
        class Root(Exo):
            async def wait(self, promise):
                try:
                    await promise
                except Exception as error:
                    return str(error)
        """)
    vat.call("wait", Ref("p-61"))
    assert vat.notify(("p-61", [1], "rejected")) == [("resolve", ("p-60", "rejected with [1]"))]


def test_unknown_promises_in_a_notification_are_ignored():
    vat = DrivenVat("class Root(Exo): pass")
    assert vat.notify(("p-61", 1), ("p+99", 2)) == []


def test_promises_that_a_notification_brings_are_subscribed_to_at_its_end_by_name():
    vat = DrivenVat("""
        class Root(Exo):
            async def wait(self, promise): self.value = await promise
        """)
    vat.call("wait", Ref("p-61"))
    assert vat.notify(("p-61", [Ref("p-9"), Ref("p-62"), Ref("p-10")]), ("p-62", [Ref("p-63"), Ref("p-61")])) == [
        ("subscribe", "p-10"),
        ("subscribe", "p-63"),
        ("subscribe", "p-9"),
        ("resolve", ("p-60", None)),
    ]


def test_promises_of_one_notification_may_contain_each_other():
    vat = DrivenVat("""
        class Root(Exo):
            async def wait(self, promise):
                a = await promise
                b = await a[0]
                return b[0] is promise
        """)
    vat.call("wait", Ref("p-61"))
    assert vat.notify(("p-61", [Ref("p-62")]), ("p-62", [Ref("p-61")])) == [("resolve", ("p-60", True))]


def test_a_notification_that_cannot_be_decoded_rejects_its_promise():
    vat = DrivenVat("""
        class Root(Exo):
            async def wait(self, promise): return await promise
        """)
    vat.call("wait", Ref("p-61"))
    [(_, (_, verdict, text))] = vat.deliver(["notify", [["p-61", False, {"body": "#{", "slots": []}]]])
    assert (verdict, text.partition(":")[0]) == ("rejected", "MarshalError")


def test_a_notified_promise_has_no_name_any_more():
    vat = DrivenVat("""
        class Root(Exo):
            def take(self, promise): self.promise = promise
            def give(self): return [self.promise]
        """)
    vat.call("take", Ref("p-61"))
    vat.notify(("p-61", "v"))
    assert vat.notify(("p-61", "other")) == []
    assert vat.call("give") == [("resolve", ("p-60", [Ref("p+5")]), ("p+5", "v"))]


# Deciding --------------------------------------------------------------------------------------


def test_a_result_promise_that_was_an_argument_before_is_settled_by_this_vat():
    vat = DrivenVat("""
        class Root(Exo):
            async def wait(self, promise):
                return ["waited", await promise]
            def answer(self): return "mine"
            async def answer_later(self):
                await asyncio.sleep(0)
                return "mine, later"
        """)
    assert vat.call("wait", Ref("p-61"), result="p-62") == [("subscribe", "p-61")]
    assert vat.call("answer", result="p-61") == [
        ("resolve", ("p-61", "mine")),
        ("resolve", ("p-62", ["waited", "mine"])),
    ]
    assert vat.notify(("p-61", "stale")) == []
    assert vat.call("wait", Ref("p-63"), result="p-64") == [("subscribe", "p-63")]
    assert vat.call("answer_later", result="p-63") == [
        ("resolve", ("p-63", "mine, later")),
        ("resolve", ("p-64", ["waited", "mine, later"])),
    ]


def test_a_result_promise_that_comes_as_an_argument_while_this_vat_works_on_it_is_the_same_promise():
    vat = DrivenVat("""
        class Root(Exo):
            async def work(self):
                self.event = asyncio.Event()
                await self.event.wait()
                return 5
            async def wait(self, promise):
                return ["waited", await promise]
            def go(self): self.event.set()
            def send(self, promise): E(promise).later()
        """)
    assert vat.call("work", result="p-61") == []
    assert vat.call("wait", Ref("p-61"), result="p-62") == []
    assert vat.call("send", Ref("p-61"), result="p-63") == [("resolve", ("p-63", None))]
    assert vat.call("go") == [
        ("resolve", ("p-60", None)),
        ("resolve", ("p-61", 5)),
        ("resolve", ("p-62", ["waited", 5])),
    ]


# References ------------------------------------------------------------------------------------


def test_a_reference_that_comes_again_is_the_same_presence_and_goes_back_as_what_it_was():
    vat = DrivenVat("""
        class Root(Exo):
            def keep(self, one): self.one = one
            def same(self, one): return [one is self.one, one, repr(one)]
            def me(self, me): return me is self
        """)
    vat.call("keep", Ref("o-50", "Purse"))
    [(_, (_, (is_same, again, text)))] = vat.call("same", Ref("o-50", "Purse"))
    assert (is_same, again, again.iface, text) == (True, Ref("o-50"), "Purse", "<Presence Purse o-50>")
    assert vat.call("me", Ref("o+0")) == [("resolve", ("p-60", True))]


def test_an_object_keeps_its_reference_and_each_has_its_own():
    vat = DrivenVat("""
        class Purse(Exo):
            def __init__(self): self.amount = 7
            def read(self): return self.amount
        class Root(Exo):
            def __init__(self): self.one = Purse()
            def get(self): return [self.one, self.one, Purse()]
        """)
    assert vat.call("get") == [("resolve", ("p-60", [Ref("o+1"), Ref("o+1"), Ref("o+2")]))]
    assert vat.call("get") == [("resolve", ("p-60", [Ref("o+1"), Ref("o+1"), Ref("o+3")]))]
    assert vat.call("read", target="o+3") == [("resolve", ("p-60", 7))]


def test_the_kernel_may_drop_and_retire_exports():
    vat = DrivenVat("""
        class Purse(Exo):
            def read(self): return 7
        class Root(Exo):
            def __init__(self): self.one = Purse()
            def get(self): return self.one
            def make(self): return Purse()
        """)
    assert vat.call("get") == [("resolve", ("p-60", Ref("o+1")))]
    assert vat.deliver(["dropExports", ["o+1"]]) == []
    assert vat.call("get") == [("resolve", ("p-60", Ref("o+1")))]
    assert vat.deliver(["dropExports", ["o+1"]]) == []
    assert vat.deliver(["retireExports", ["o+1"]]) == []
    assert vat.call("get") == [("resolve", ("p-60", Ref("o+2")))]
    assert vat.call("make") == [("resolve", ("p-60", Ref("o+3")))]
    assert vat.call("read", target="o+3") == [("resolve", ("p-60", 7))]
    vat.deliver(["dropExports", ["o+3"]])
    with pytest.raises(DeliveryError):
        vat.call("read", target="o+3")


def test_other_deliveries_change_nothing_that_the_kernel_hears_of():
    vat = DrivenVat("class Root(Exo):\n    def f(self): return 1")
    for delivery in (
        ["bringOutYourDead"],
        ["retireImports", ["o-50"]],
        ["changeVatOptions", {}],
        ["stopVat", capdata(None)],
    ):
        assert vat.deliver(delivery) == []
    assert vat.call("f") == [("resolve", ("p-60", 1))]


def test_exit_is_a_syscall_with_its_reason():
    vat = DrivenVat("""
        class Root(Exo):
            def __init__(self, powers): self.powers = powers
            def leave(self): self.powers.exit({"because": self})
            def fail(self): self.powers.exit_with_failure(ValueError("broken"))
        def build_root_object(powers, parameters, baggage):
            return Root(powers)
        """)
    assert vat.call("leave") == [("exit", False, {"because": Ref("o+0")}), ("resolve", ("p-60", None))]
    [exit_syscall, _] = vat.call("fail")
    assert exit_syscall[:2] == ("exit", True)
    assert (exit_syscall[2].name, exit_syscall[2].message) == ("ValueError", "broken")


def test_the_counters_go_on_where_they_were_after_a_replay():
    vat = DrivenVat("""
        class Purse(Exo): pass
        class Root(Exo):
            def ask(self, other): E(other).take(Purse())
        """)
    expected = [("send", "o-50", "take", [Ref("o+3")], "p+7"), ("subscribe", "p+7"), ("resolve", ("p-60", None))]
    vat.call("ask", OTHER)
    vat.call("ask", OTHER)
    again = vat.replayed()
    assert vat.call("ask", OTHER) == expected
    assert again.call("ask", OTHER) == expected


def test_show_is_of_one_mind_with_the_wire():
    assert show(["subscribe", "p-5"]) == ("subscribe", "p-5")
