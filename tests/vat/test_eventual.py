"""E inside one vat behaves as E between vats."""

from __future__ import annotations

import pytest

from kernel_py.vat import E, make_promise
from tests.vat.driving import DrivenVat, Ref


def local(body: str) -> object:
    """Run `body` as the async method of a root beside a few other objects; its result."""
    indented = "\n".join("        " + line for line in body.strip("\n").split("\n"))
    vat = DrivenVat(
        f"""
class Purse(Exo):
    def __init__(self, balance=0): self.balance = balance; self.log = []
    def deposit(self, amount, *, note=None):
        self.balance += amount
        self.log.append([amount, note])
        return self.balance
    async def later(self, value):
        await asyncio.sleep(0)
        return value
    def get_log(self): return self.log
    def keep(self, value): self.kept = value
    def echo(self, value): return value
    def me(self): return self
    def fail(self): raise CustomError("custom")
    async def fail_later(self): raise CustomError("custom later")
class CustomError(Exception): pass
class Root(Exo):
    async def test(self):
        purse = Purse()
{indented}
        """
    )
    [(kind, (_, *result))] = vat.call("test")
    assert kind == "resolve"
    return result[0] if len(result) == 1 else tuple(result)


def test_nothing_of_the_receiver_runs_before_the_senders_job_is_over():
    assert local("""
promise = E(purse).deposit(5)
before = purse.balance
return [before, await promise, purse.balance]
""") == [0, 5, 5]


def test_messages_to_one_object_arrive_in_order_directly_or_through_a_promise():
    assert local("""
promise, resolver = make_promise()
E(promise).deposit(1)
E(promise).deposit(2)
resolver.resolve(purse)
E(promise).deposit(3)
await E(promise).deposit(4)
return [amount for amount, _ in purse.log]
""") == [1, 2, 3, 4]


def test_keyword_arguments_arrive():
    assert local('await E(purse).deposit(1, note="n")\nreturn purse.log') == [[1, "n"]]


def test_arguments_are_as_they_were_at_the_send():
    assert local("""
value = {"list": [1]}
promise = E(purse).keep(value)
value["list"].append(2)
await promise
purse.kept["list"].append(3)
return [value, purse.kept]
""") == [{"list": [1, 2]}, {"list": [1, 3]}]


def test_results_are_copies_also_those_of_asynchronous_methods():
    assert local("""
first = await E(purse).get_log()
second = await E(purse).later(first)
first.append("mine")
return [purse.log, second]
""") == [[], []]


def test_references_in_arguments_and_results_are_themselves():
    assert local("""
promise, resolver = make_promise()
got = await E(purse).echo([purse, promise, purse])
return [got[0] is purse, got[1] is promise, got[2] is purse, await E(purse).me() is purse]
""") == [True, True, True, True]


def test_an_unpassable_argument_raises_at_the_send():
    assert (
        local("""
texts = []
for target in (purse, make_promise()[0], purse.later(purse)):
    try:
        E(target).echo(1, {"a": {1, 2}})
    except MarshalError as error:
        texts.append(error.path)
return texts
""")
        == ["args[1]['a']"] * 3
    )


def test_an_unpassable_result_rejects():
    (verdict, text) = local("""
class Odd(Exo):
    def odd(self): return [1j]
    async def odd_later(self): return [1j]
paths = []
for promise in (E(Odd()).odd(), E(Odd()).odd_later()):
    try:
        await promise
    except MarshalError as error:
        paths.append(error.path)
raise ValueError(paths)
""")
    assert (verdict, text) == ("rejected", "ValueError: ['result[0]', 'result[0]']")


def test_an_error_inside_the_vat_is_the_very_exception():
    assert local("""
caught = []
for promise in (E(purse).fail(), E(purse).fail_later(), E(E(purse).fail()).echo(1)):
    try:
        await promise
    except CustomError as error:
        caught.append(str(error))
return caught
""") == ["custom", "custom later", "custom"]


def test_sending_to_data_rejects():
    assert local("""
texts = []
for target in (3, None, [purse], E(purse).echo("text")):
    try:
        await E(target).echo(1)
    except TypeError as error:
        texts.append(str(error))
return texts
""") == [
        "3 is data, and cannot be sent to",
        "None is data, and cannot be sent to",
        "[<Purse>] is data, and cannot be sent to",
        "'text' is data, and cannot be sent to",
    ]


def test_unknown_and_private_methods_reject():
    (verdict, text) = local("return await E(purse).withdraw(1)")
    assert verdict == "rejected"
    assert text.startswith("AttributeError: Purse has no method 'withdraw'; it has: deposit, echo, fail, fail_later, ")
    (verdict, text) = local("return await E(purse)._deposit(1)")
    assert "leading underscore" in text


def test_futures_tasks_and_coroutines_are_targets():
    assert (
        local("""
future = asyncio.get_running_loop().create_future()
task = asyncio.create_task(purse.later(purse))
answers = [E(future).deposit(1), E(task).deposit(2), E(purse.later(purse)).deposit(3)]
future.set_result(purse)
return sorted([await answer for answer in answers])[-1]
""")
        == 6
    )


def test_send_only_gives_nothing_and_its_failure_goes_to_the_console():
    vat = DrivenVat("""
        class Purse(Exo):
            def fail(self): raise ValueError("unseen")
        class Root(Exo):
            def test(self): return E.send_only(Purse()).fail()
        """)
    assert vat.call("test") == [("resolve", ("p-60", None))]
    assert vat.console[-1] == "ValueError: unseen"


def test_far_functions_are_called_through_e():
    assert local("""
@far
def double(n): return 2 * n
return [await E(double)(4), await E(far(purse.deposit))(5)]
""") == [8, 5]


def test_when_maps_a_value_an_outcome_or_passes_it_through():
    assert local("""
values = [
    await E.when(3),
    await E.when(E(purse).deposit(1), lambda value: value + 10),
    await E.when(E(purse).fail(), None, lambda error: f"caught {error}"),
    await E.when(purse.later(4), lambda value: E(purse).echo([value])),
]
try:
    await E.when(E(purse).fail(), lambda value: value)
except CustomError as error:
    values.append(str(error))
try:
    await E.when(1, lambda value: value / 0)
except ZeroDivisionError:
    values.append("divided")
return values
""") == [3, 11, "caught custom", [4], "custom", "divided"]


def test_when_reacts_in_a_later_job():
    assert local("""
seen = []
promise = E.when(1, seen.append)
before = list(seen)
await promise
return [before, seen]
""") == [[], [1]]


def test_a_send_to_a_presence_that_a_local_promise_became_answers():
    vat = DrivenVat("""
        class Root(Exo):
            async def ask(self, other):
                promise, resolver = make_promise()
                answer = E(promise).ask([1])
                resolver.resolve(other)
                return ["answer", await answer]
        """)
    assert vat.call("ask", Ref("o-50")) == [("send", "o-50", "ask", [[1]], "p+5"), ("subscribe", "p+5")]
    assert vat.notify(("p+5", 7)) == [("resolve", ("p-60", ["answer", 7]))]


def test_names_with_underscores_are_refused_before_anything_is_sent():
    vat = DrivenVat("""
        class Root(Exo):
            def ask(self, other):
                for name in ("_hidden", "__init__", "__class_getitem__"):
                    try:
                        getattr(E(other), name)
                    except AttributeError:
                        continue
                    if not name.endswith("__"): return name
        """)
    assert vat.call("ask", Ref("o-50")) == [("resolve", ("p-60", None))]


@pytest.mark.parametrize("use", [lambda: E(3), lambda: E.send_only(3), lambda: E.when(3), make_promise])
def test_outside_a_vat_there_is_nothing_to_send_with(use):
    with pytest.raises(RuntimeError, match="no vat is running"):
        use()
