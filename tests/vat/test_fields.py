"""Annotations of fields are their guards."""

from __future__ import annotations

import pytest

from tests.vat.driving import DrivenVat, Ref
from tests.vat.test_durable import run

SOURCE = """
from typing import Annotated, Any, Literal
class Purse({base}):
    owner: str
    balance: int = 0
    limit: Annotated[int, M.ge(0)] | None = None
    rates: list[float] = []
    sizes: dict[str, int] = {{}}
    state: Literal["open", "closed"] = "open"
    friend: "Friend | None" = None      # a class that comes later
    what: Any = None
    even: int = field(0, guard=M.that(lambda value: value % 2 == 0, "even"))
class Friend({base}):
    pass
class Root(Exo):
    def run(self, source, *args):
        scope = globals() | {{"root": self, "args": args}}
        exec(source, scope)
        return scope.get("result")
"""


@pytest.fixture(params=["Durable", "Virtual"])
def vat(request):
    return DrivenVat(SOURCE.format(base=request.param))


@pytest.mark.parametrize(
    "assignment, error",
    [
        ("owner = 5", "TypeError: Purse.owner: expected str, not int 5"),
        ("balance = '5'", "TypeError: Purse.balance: expected int, not str '5'"),
        ("balance = True", "TypeError: Purse.balance: expected int, not True"),
        ("balance = None", "TypeError: Purse.balance: expected int, not None"),
        ("limit = -1", "ValueError: Purse.limit: must be >= 0, not int -1"),
        ("rates = [1.5, 'x']", "TypeError: Purse.rates[1]: expected float, not str 'x'"),
        ("sizes = {'a': 1, 'b': 2.5}", "TypeError: Purse.sizes['b']: expected int, not float 2.5"),
        ("state = 'ajar'", "ValueError: Purse.state: expected 'open' | 'closed', not str 'ajar'"),
        ("friend = Purse('b')", "TypeError: Purse.friend: expected Friend | None, not a far Purse"),
        ("even = 3", "ValueError: Purse.even: must be even, not int 3"),
        ("even = '3'", "TypeError: Purse.even: expected int, not str '3'"),
    ],
)
def test_what_does_not_fit_is_refused_at_the_assignment_and_named_by_class_field_and_path(vat, assignment, error):
    name = assignment.partition(" ")[0]
    assert run(vat, f"root.p = p = Purse('a'); root.before = p.{name}; p.{assignment}") == error
    assert run(vat, f"result = root.p.{name} == root.before") is True


def test_what_fits_is_kept(vat):
    source = """
p = Purse("a", 1, limit=5, rates=[1, 2.5], sizes={"a": 1}, state="closed", friend=Friend(), what=[1, "x"], even=2)
p.friend = args[0]    # an object of another vat: what it is nobody can tell
result = [p.owner, p.balance, p.limit, p.rates, p.sizes, p.state, p.friend is args[0], p.what, p.even]
"""
    assert run(vat, source, Ref("o-50")) == ["a", 1, 5, [1, 2.5], {"a": 1}, "closed", True, [1, "x"], 2]


def test_arguments_are_checked_as_assignments_are(vat):
    assert run(vat, "Purse(5)") == "TypeError: Purse.owner: expected str, not int 5"
    assert run(vat, "Purse('a', balance=None)") == "TypeError: Purse.balance: expected int, not None"


def test_a_default_must_fit_as_well(vat):
    source = "class Odd(Purse):\n    size: int = None\nOdd('a')"
    assert run(vat, source) == "TypeError: Odd.size: expected int, not None"


def test_what_was_read_fits_again(vat):
    source = "p = Purse('a', rates=[1.5], sizes={'a': 1}); p.rates, p.sizes = p.rates, p.sizes; result = p.rates"
    assert run(vat, source) == [1.5]


def test_an_inherited_field_is_checked_as_the_class_that_annotates_it_says(vat):
    run(vat, "class Savings(Purse):\n    rate: float = 0.5\nroot.s = Savings('a')")
    assert run(vat, "root.s.balance = 'x'") == "TypeError: Savings.balance: expected int, not str 'x'"
    assert run(vat, "root.s.rate = 'x'") == "TypeError: Savings.rate: expected float, not str 'x'"


def test_an_annotation_that_cannot_be_read_refuses_every_value(vat):
    source = "class Odd(Purse):\n    size: 'Unknown' = 1\nOdd('a')"
    error = "TypeError: Odd.size: its annotation cannot be read, so it cannot be set: name 'Unknown' is not defined"
    assert run(vat, source) == error


@pytest.mark.parametrize("promise", ["make_promise()[0]", "E(args[0]).ask()", "args[1]"])
def test_a_promise_is_no_field_of_a_virtual_object_either(vat, promise):
    error = run(vat, f"Purse('a', what=[{promise}])", Ref("o-50"), Ref("p-61"))
    assert error.startswith("MarshalError: Purse.what[0]: a promise lives in the heap only")
