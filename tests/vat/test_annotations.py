"""What fits an annotation, and what is said of what does not."""

from __future__ import annotations

import collections.abc
import re
import typing
from decimal import Decimal
from types import MappingProxyType
from typing import Annotated, Any, Literal, NewType, NotRequired, Optional, Protocol, TypedDict

import pytest

from kernel_py.vat.annotations import make_guard, read_annotation, read_result
from kernel_py.vat.exo import Exo, far
from kernel_py.vat.loop import VatLoop
from kernel_py.vat.patterns import M, Nat
from kernel_py.vat.presence import Presence
from kernel_py.vat.promise import Promise
from kernel_py.wire.passable import Symbol, Tagged, Undefined, UndefinedType, make_remote_error
from kernel_py.wire.refs import Vref


class Purse(Exo):
    def deposit(self, amount: int) -> int:
        return amount


class Savings(Purse):
    pass


class Depositor(Protocol):
    def deposit(self, amount: int) -> int: ...


class Terms(TypedDict):
    currency: str
    amount: Nat
    note: NotRequired[str]


class Node(TypedDict):
    children: list[Node]


Amount = NewType("Amount", int)
purse, savings = Purse(), Savings()
other = far(object.__new__(type("Other", (), {})))
presence = Presence(Vref("o-50"), "Alleged: Counter")
promise: Promise[int] = Promise(VatLoop(lambda *_: None))  # type: ignore[abstract]

FITTING: list[tuple[Any, list[Any], list[Any]]] = [
    (int, [0, -1, 10**400], [True, 1.0, "1", None]),
    (float, [0.5, 3, float("nan")], [True, "1"]),
    (bool, [True, False], [0, 1, None]),
    (str, ["", "x"], [b"x", None]),
    (bytes, [b""], ["", bytearray()]),
    (None, [None], [False, Undefined]),
    (UndefinedType, [Undefined], [None]),
    (Tagged, [Tagged("set", [])], [[]]),
    (Symbol, [Symbol("a")], ["a"]),
    (list, [[], [1], ()], [{}, "", None]),
    (list[int], [[], [1, 2], (1,)], [[1, "2"], [None]]),
    (collections.abc.Sequence[int], [[1], (1,)], ["1"]),
    (tuple, [[], (1,)], [{}]),
    (tuple[int, str], [[1, "a"], (1, "a")], [[1], [1, "a", 2], ["a", 1]]),
    (tuple[int, ...], [[], [1, 2]], [["a"]]),
    (tuple[int, Any], [[1, None]], [[1]]),
    (dict, [{}, {"a": None}], [[]]),
    (dict[str, int], [{}, {"a": 1}, MappingProxyType({"a": 1})], [{"a": "1"}, []]),
    (dict[Literal["a", "b"], Any], [{"a": None}], [{"c": None}]),
    (typing.Mapping[str, list[int]], [{"a": [1]}], [{"a": [None]}]),
    (Terms, [{"currency": "x", "amount": 0}, {"currency": "x", "amount": 0, "note": ""}], [{}, {"currency": "x"}]),
    (Terms, [], [{"currency": "x", "amount": 0, "more": 1}, {"currency": "x", "amount": -1}]),
    (Node, [{"children": [{"children": []}]}], [{"children": [{}]}]),
    (int | None, [1, None], ["1", False]),
    (Optional[int], [1, None], ["1"]),  # noqa: UP045 (the older spelling)
    (list[int] | dict[str, int], [[1], {"a": 1}], [["a"], 1]),
    (Literal["buy", 1], ["buy", 1], ["sell", True, 1.0, []]),
    (Purse, [purse, savings, presence], [other, 1, None, promise]),
    (Presence, [purse, other, presence], [1, None, promise]),
    (Exo, [purse, other, presence], [object()]),
    (Depositor, [purse, presence], ["purse"]),
    (Promise[int], [promise], [1, presence]),
    (collections.abc.Awaitable[int], [promise], [1]),
    (Exception, [ValueError("x"), make_remote_error("Odd", "x", None)], ["x", ValueError]),
    (ValueError, [make_remote_error("ValueError", "x", None)], [KeyError("x")]),
    (Amount, [1], ["1"]),
    (Annotated[int, "a comment"], [1], ["1"]),
    (Nat, [0, 5], [-1, True, 0.0]),
    (Annotated[Any, M.gt(0)], [1, 0.5], [0, "1", None]),
    (Annotated[int, M.gt(0), M.le(10)], [1, 10], [0, 11]),
    (Annotated[float, M.lt(1.5)], [1, 1.0], [1.5]),
    (Annotated[str, M.ge("b")], ["b", "c"], ["a"]),
    (Annotated[str, M.length(1, 3)], ["a", "abc"], ["", "abcd"]),
    (Annotated[list[int], M.length(2)], [[1, 2]], [[1]]),
    (Annotated[str, M.matches("[a-z]+")], ["abc"], ["abc\n", "", "aB"]),
    (Annotated[Purse, M.own()], [purse], [presence, other]),
    (Annotated[int, M.that(lambda value: value % 2 == 0, "even")], [2], [3]),
    (M.any_of("buy", "sell"), ["buy"], ["hold", None]),
    (M.any_of(True, 2), [True, 2], [1, 2.0]),
    (M.any_of(int, M.matches("[0-9]+"), "none"), [5, "5", "none"], ["five", None]),
]


@pytest.mark.parametrize("annotation, good, bad", FITTING)
def test_what_fits_passes_and_what_does_not_is_refused(annotation: Any, good: list[Any], bad: list[Any]) -> None:
    guard = make_guard(annotation)
    for value in good:
        guard.check(value)
    for value in bad:
        with pytest.raises((TypeError, ValueError), match=r"^value"):
            guard.check(value)


@pytest.mark.parametrize(
    "annotation, value, error",
    [
        (int, "five", "TypeError: it: expected int, not str 'five'"),
        (int, True, "TypeError: it: expected int, not True"),
        (str, "x" * 0 or None, "TypeError: it: expected str, not None"),
        (int | None, 0.5, "TypeError: it: expected int | None, not float 0.5"),
        (str, 2**999, "TypeError: it: expected str, not an int of 1,000 bits"),
        (int, "x" * 70, f"TypeError: it: expected int, not str {'x' * 60!r}..."),
        (list[int], [1, [2]], "TypeError: it[1]: expected int, not a list"),
        (dict[str, list[int]], {"a": [1, {}]}, "TypeError: it['a'][1]: expected int, not a dict"),
        (dict[Nat, int], {-1: 0}, "ValueError: it (the key -1): must be >= 0, not int -1"),
        (tuple[int, str], [1], "ValueError: it: expected [int, str], not 1 items"),
        (Terms, {"amount": 1}, "ValueError: it: 'currency' is missing: expected Terms"),
        (Terms, {"currency": "", "amount": 1, "x": 1},
         "ValueError: it: unknown key 'x': Terms has currency, amount, note"),
        (list[Terms], [{"currency": 1, "amount": 1}], "TypeError: it[0]['currency']: expected str, not int 1"),
        (Nat | None, -5, "ValueError: it: must be >= 0, not int -5"),
        (Nat | None, "x", "TypeError: it: expected int >= 0 | None, not str 'x'"),
        (list[int] | str, ["x"], "TypeError: it[0]: expected int, not str 'x'"),
        (Literal["buy", "sell"], "hold", "ValueError: it: expected 'buy' | 'sell', not str 'hold'"),
        (Literal["buy"], 1, "TypeError: it: expected 'buy', not int 1"),
        (Purse, other, "TypeError: it: expected Purse, not a far Other"),
        (Purse, promise, "TypeError: it: expected Purse, not a promise: await it first"),
        (Depositor, 1, "TypeError: it: expected Depositor, not int 1"),
        (int, presence, "TypeError: it: expected int, not a presence of Counter"),
        (ValueError, KeyError("x"), "TypeError: it: expected ValueError, not a KeyError"),
        (Annotated[Purse, M.own()], presence,
         "TypeError: it: expected an object of this vat, not a presence of Counter"),
        (Annotated[str, M.length(1, 3)], "abcd", "ValueError: it: must be of length 1 to 3, not 4"),
        (M.length(2), 5, "TypeError: it: expected something of length at least 2, not int 5"),
        (M.matches("a+"), "b", "ValueError: it: must match 'a+', not be str 'b'"),
        (M.gt(0), "b", "TypeError: it: expected > 0, not str 'b'"),
        (Annotated[int, M.that(lambda value: value % 2 == 0, "even")], 3, "ValueError: it: must be even, not int 3"),
    ],
)  # fmt: skip
def test_the_error_says_what_where_and_what_instead(annotation: Any, value: object, error: str) -> None:
    with pytest.raises((TypeError, ValueError)) as raised:
        make_guard(annotation).check(value, "it")
    assert f"{type(raised.value).__name__}: {raised.value}" == error


@pytest.mark.parametrize("annotation", [Any, object, Decimal, set[int], typing.TypeVar("T"), [int], int | Decimal])
def test_what_is_no_passable_type_is_not_checked_and_no_guard_by_itself(annotation: Any) -> None:
    assert read_annotation(annotation) is None
    with pytest.raises(TypeError, match=re.escape(f"{annotation!r} is no type of passables")):
        make_guard(annotation)


def test_a_pattern_on_a_type_that_is_not_checked_holds_alone() -> None:
    guard = make_guard(Annotated[object, M.length(1)])
    guard.check("x")
    with pytest.raises(ValueError, match="of length at least 1"):
        guard.check([])


@pytest.mark.parametrize("annotation", [int, Promise[int], typing.Coroutine[Any, Any, Promise[int]]])
def test_of_a_promised_result_what_comes_of_it_is_checked(annotation: Any) -> None:
    guard = read_result(annotation)
    assert guard is not None
    assert guard.expected == "int"
    assert read_result(Promise) is None


def test_a_guard_does_not_run_code_of_what_it_refuses() -> None:
    class Trap:
        def __repr__(self) -> str:
            raise AssertionError

        __str__ = __len__ = __eq__ = __hash__ = __repr__  # type: ignore[assignment]

    for annotation in (int, list[int], Terms, Literal[1], M.length(1), M.gt(0), Purse, int | None):
        with pytest.raises(TypeError, match="not a Trap"):
            make_guard(annotation).check(Trap())
