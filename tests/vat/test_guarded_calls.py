"""Calls are checked against the annotations of what they call, on the way in and on the way out."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Annotated, Any, Self

import pytest

from kernel_py.vat.exo import Exo, facet, far, find_iface
from kernel_py.vat.methods import get_method
from kernel_py.vat.patterns import M, Nat
from kernel_py.wire.passable import Undefined
from tests.vat.driving import DrivenVat, Ref


def remember(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return wrapper


class Purse(Exo):
    depositor = facet("deposit", "currency")

    def __init__(self, balance: int = 0) -> None:
        self.balance = balance

    def deposit(self, amount: Nat, /, note: Annotated[str, M.length(0, 5)] = "", *more: int, **tags: bool) -> Nat:
        self.balance += amount
        return self.balance

    def currency(self):
        return "dollar"

    def withdraw(self, *, amount: Nat) -> Self:
        return Purse(amount)

    def wrong(self) -> int:
        return "text"

    def open(self, value):
        return value

    @staticmethod
    def static(value: int) -> int:
        return value

    @classmethod
    def of_class(cls, value: int) -> int:
        return value

    @remember
    def wrapped(self, value: int) -> int:
        return value

    @functools.cache  # noqa: B019
    def cached(self, value: int) -> int:
        return value

    def unreadable(self, value: Missing) -> None:  # noqa: F821
        pass

    def __call__(self, value: int) -> int:
        return value


def call(target: object, method: object, *args: object, **kwargs: object) -> object:
    return get_method(target, method)(*args, **kwargs)


@pytest.mark.parametrize(
    "method, args, kwargs, error",
    [
        ("deposit", ("5",), {}, "deposit(amount): expected int, not str '5'"),
        ("deposit", (5, 6), {}, "deposit(note): expected str, not int 6"),
        ("deposit", (5,), {"note": 6}, "deposit(note): expected str, not int 6"),
        ("deposit", (5, "", 1, None), {}, "deposit(args[3]): expected int, not None"),
        ("deposit", (5,), {"tag": 1}, "deposit(tag): expected bool, not int 1"),
        ("deposit", (5,), {"amount": 1}, "deposit(amount): expected bool, not int 1"),
        ("withdraw", (), {"amount": None}, "withdraw(amount): expected int, not None"),
        ("wrong", (), {}, "wrong() result: expected int, not str 'text'"),
        ("static", ("5",), {}, "static(value): expected int, not str '5'"),
        ("of_class", ("5",), {}, "of_class(value): expected int, not str '5'"),
        ("wrapped", ("5",), {}, "wrapped(value): expected int, not str '5'"),
        ("cached", ("5",), {}, "cached(value): expected int, not str '5'"),
        (Undefined, ("5",), {}, "__call__(value): expected int, not str '5'"),
        ("deposit", (), {}, "Purse.deposit() missing 1 required positional argument: 'amount'"),
        ("withdraw", (), {"amounts": 1}, "Purse.withdraw() got an unexpected keyword argument 'amounts'"),
        ("open", (1, 2), {}, "Purse.open() takes 2 positional arguments but 3 were given"),
        ("unreadable", (1,), {}, "unreadable: its annotations cannot be read, so it cannot be called: name "),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_by_name(method: Any, args: Any, kwargs: Any, error: str) -> None:
    purse = Purse()
    with pytest.raises(TypeError) as raised:
        call(purse, method, *args, **kwargs)
    assert str(raised.value).startswith(error)
    assert purse.balance == 0


@pytest.mark.parametrize("method", ["static", "of_class", "wrapped", "cached", "open", Undefined])
def test_what_fits_goes_through_however_the_method_is_made(method: Any) -> None:
    assert call(Purse(), method, 5) == 5


def test_a_value_of_the_right_type_that_does_not_fit_is_a_value_error() -> None:
    with pytest.raises(ValueError, match=r"^deposit\(amount\): must be >= 0, not int -5$"):
        call(Purse(), "deposit", -5)


def test_a_method_without_annotations_is_called_as_it_is() -> None:
    purse = Purse()
    assert get_method(purse, "open").__func__ is Purse.open


def test_annotations_are_read_once_for_a_function(monkeypatch: pytest.MonkeyPatch) -> None:
    class Fresh(Exo):
        def method(self, value: int) -> int:
            return value

    call(Fresh(), "method", 1)
    Fresh.method.__annotations__["value"] = str
    assert call(Fresh(), "method", 1) == 1


def test_a_wrapper_made_later_has_guards_of_its_own() -> None:
    def method(self: object, value: int) -> int:
        return value

    call(type("First", (Exo,), {"method": method})(), "method", 1)

    def replaced(self: object, value: str) -> str:
        return value

    replaced.__dict__.update(method.__dict__)
    assert call(type("Second", (Exo,), {"method": replaced})(), "method", "text") == "text"


def test_far_functions_are_guarded() -> None:
    @far
    def double(number: int) -> int:
        return 2 * number

    assert call(double, Undefined, 2) == 4
    for function in (double, far(Purse().static), far(Purse().deposit), far(functools.partial(max, 1))):
        with pytest.raises(TypeError):
            call(function, Undefined, "2")


def test_a_facet_offers_its_methods_and_no_others() -> None:
    purse = Purse()
    facet = purse.depositor
    assert facet is purse.depositor
    assert facet is not Purse().depositor
    assert (find_iface(facet), repr(facet)) == ("Alleged: Purse depositor", "<Purse depositor>")
    assert (call(facet, "deposit", 5), purse.balance, call(facet, "currency")) == (5, 5, "dollar")
    with pytest.raises(TypeError, match=r"^deposit\(amount\)"):
        call(facet, "deposit", "5")
    for method in ("withdraw", "exo", "methods", "__init__", "balance"):
        with pytest.raises(AttributeError, match=r"Purse depositor has no method .*; it has: currency, deposit"):
            call(facet, method)
    with pytest.raises(TypeError, match="is not a function"):
        call(facet, Undefined)


def test_a_facet_of_a_subclass_calls_what_the_subclass_defines() -> None:
    class Generous(Purse):
        def currency(self) -> str:
            return "apple"

    assert call(Generous().depositor, "currency") == "apple"
    assert find_iface(Generous().depositor) == "Alleged: Generous depositor"


@pytest.mark.parametrize("name", ["missing", "_hidden", "balance"])
def test_a_facet_names_methods_that_there_are(name: str) -> None:
    with pytest.raises(TypeError, match=f"the facet Broken.view names '{name}', which is no public method of it"):
        type("Broken", (Exo,), {"view": facet(name), "_hidden": print, "balance": 3})


SOURCE = """
class Root(Exo):
    limited = facet("double")

    def double(self, number: int) -> int:
        return number * 2

    async def later(self, value) -> list[int]:
        return await value

    async def passes(self, value) -> int:
        return value

    def promised(self, value) -> Promise[int]:
        return E(value).get()

    def get_limited(self) -> Presence:
        return self.limited

    async def ask(self, value):
        try:
            return await E(self).double(value)
        except TypeError as error:
            return f"{type(error).__name__}: {error}"
"""


def test_a_refusal_rejects_the_call_with_the_builtin() -> None:
    vat = DrivenVat(SOURCE)
    assert vat.call("double", 4) == [("resolve", ("p-60", 8))]
    refused = "TypeError: double(number): expected int, not str '4'"
    assert vat.call("double", "4") == [("resolve", ("p-60", "rejected", refused))]
    assert vat.call("double", number="4") == [("resolve", ("p-60", "rejected", refused))]
    assert vat.call("ask", "4") == [("resolve", ("p-60", refused))]


def test_an_awaited_result_is_checked_when_it_has_settled() -> None:
    vat = DrivenVat(SOURCE)
    vat.call("later", Ref("p-70"))
    assert vat.notify(("p-70", [1, "2"])) == [
        ("resolve", ("p-60", "rejected", "TypeError: later() result[1]: expected int, not str '2'"))
    ]
    vat.call("passes", Ref("p-71"), result="p-61")
    assert vat.notify(("p-71", 7)) == [("resolve", ("p-61", 7))]
    vat.call("promised", Ref("o-50"), result="p-62")
    assert vat.notify(("p+5", "7")) == [
        ("resolve", ("p-62", "rejected", "TypeError: promised() result: expected int, not str '7'"))
    ]
    vat.call("promised", Ref("o-50"), result="p-63")
    assert vat.notify(("p+6", KeyError("gone"), "rejected")) == [("resolve", ("p-63", "rejected", "KeyError: 'gone'"))]


def test_a_facet_is_an_object_of_its_own_to_other_vats() -> None:
    vat = DrivenVat(SOURCE)
    first = vat.call("get_limited")
    assert vat.call("get_limited", result="p-61") == [("resolve", ("p-61", Ref("o+1")))]
    assert first == [("resolve", ("p-60", Ref("o+1")))]
    assert vat.call("double", 4, target="o+1", result="p-62") == [("resolve", ("p-62", 8))]
    [(_, (_, status, error))] = vat.call("ask", 4, target="o+1", result="p-63")
    assert (status, error) == ("rejected", "AttributeError: Root limited has no method 'ask'; it has: double")
