"""The Python-literal form of arguments at the control interface."""

from __future__ import annotations

import pytest

from kernel_py.core.kmarshal import Ref, parse_arguments
from kernel_py.wire.errors import RequestError
from kernel_py.wire.passable import Symbol, Tagged, Undefined


@pytest.mark.parametrize(
    "text,args,kwargs",
    [
        ("", [], {}),
        ("3, 'x', ko23, amount=5", [3, "x", Ref("ko23")], {"amount": 5}),
        ("[1.5, None, (True, -2)], {'a': {'b': b'c'}}", [[1.5, None, [True, -2]], {"a": {"b": b"c"}}], {}),
        ("Tagged('t', [-inf]), Symbol('s'), Undefined", [Tagged("t", [-float("inf")]), Symbol("s"), Undefined], {}),
        ("'a'\n'b',  # a comment\n1", ["ab", 1], {}),
        ("x=-1, y=[[], {}, ()],", [], {"x": -1, "y": [[], {}, []]}),
    ],
)
def test_literals_are_read(text, args, kwargs):
    assert parse_arguments(text) == (args, kwargs)


@pytest.mark.parametrize(
    "text",
    ["open('x')", "1 + 1", "x", "ko23.name", "f'{1}'", "*[1]", "**{}", "lambda: 1", "[x for x in ko1]", ") + f("],
)
def test_what_is_not_a_literal_is_refused(text):
    with pytest.raises(RequestError, match=r"^args"):
        parse_arguments(text)


@pytest.mark.parametrize(
    "unit,end",
    [
        ("-", "1"), ("- ", "1"), ("1+", "1"), ("not ", "1"), ("1 if 1 else ", "1"), ("1**", "1"), ("1<", "1"),
        ("ko1", ".a"), ("ko1", "[0]"), ("ko1", "()"), ("1-", "1"), ("lambda: ", "1"), ("await ", "1"), ("[", ""),
        ("a:=", "1"), ("{1:", ""),
    ],
)  # fmt: skip
@pytest.mark.parametrize("count", [3_000, 5_000, 100_000])
def test_what_nests_without_end_is_refused_before_it_is_compiled(unit, end, count):
    text = unit * count + end if len(end) < 2 else unit + end * count
    with pytest.raises(RequestError, match=r"^args"):
        parse_arguments(text)
