"""The Python-literal form of arguments at the control interface."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel_py.core.kmarshal import Ref
from kernel_py.core.literals import parse_arguments
from kernel_py.wire.errors import RequestError
from kernel_py.wire.passable import Symbol, Tagged, Undefined


@pytest.mark.parametrize(
    "text, args, kwargs",
    [
        ("", [], {}),
        ("3, 'x', ko23, amount=5", [3, "x", Ref("ko23")], {"amount": 5}),
        ("[1.5, None, (True, -2)], {'a': {'b': b'c'}}", [[1.5, None, [True, -2]], {"a": {"b": b"c"}}], {}),
        ("Tagged('t', [-inf]), Symbol('s'), Undefined", [Tagged("t", [-float("inf")]), Symbol("s"), Undefined], {}),
        ("'a'\n'b',  # a comment\n1", ["ab", 1], {}),
        ("x=-1, y=[[], {}, ()],", [], {"x": -1, "y": [[], {}, []]}),
    ],
)
def test_literals_are_read(text: str, args: list[Any], kwargs: dict[str, Any]) -> None:
    assert parse_arguments(text) == (args, kwargs)


@pytest.mark.parametrize(
    "text",
    ["open('x')", "1 + 1", "x", "ko23.name", "f'{1}'", "*[1]", "**{}", "lambda: 1", "[x for x in ko1]", ") + f("],
)
def test_what_is_not_a_literal_is_refused(text: str) -> None:
    with pytest.raises(RequestError, match=r"^args"):
        parse_arguments(text)


@pytest.mark.parametrize(
    "unit, end",
    [
        ("-", "1"), ("- ", "1"), ("1+", "1"), ("not ", "1"), ("1 if 1 else ", "1"), ("1**", "1"), ("1<", "1"),
        ("ko1", ".a"), ("ko1", "[0]"), ("ko1", "()"), ("1-", "1"), ("lambda: ", "1"), ("await ", "1"), ("[", ""),
        ("a:=", "1"), ("{1:", ""),
    ],
)  # fmt: skip
@pytest.mark.parametrize("count", [3_000, 5_000, 100_000])
def test_what_nests_without_end_is_refused_before_it_is_compiled(unit: str, end: str, count: int) -> None:
    text = unit * count + end if len(end) < 2 else unit + end * count
    with pytest.raises(RequestError, match=r"^args"):
        parse_arguments(text)


@pytest.mark.parametrize(
    "text, reason",
    [
        ("a=1, a=2", "args: 'a' is given twice"),
        ("1, {2: 3}", "args[1]: a record's keys are strings"),
        ("[0, [x]]", "args[0][1][0]: unknown name 'x': only references such as ko23 may be named"),
        ("a=ko01", "args['a']: unknown name 'ko01'"),
        ("1j", "args[0]: '1j' is not a literal"),
        ("{1, 2}", "args[0]: '{1, 2}' is not a literal"),
        ("-True", "args[0]: '-True' is not a literal"),
        ("-ko1", "args[0]: '-ko1' is not a literal"),
        ("print(1)", "args[0]: 'print(1)' is not a literal"),
        ("Tagged('t')", "args[0]: \"Tagged('t')\" is not a literal"),
        ("Tagged(1, 2)", "args[0]: '1' is not a string"),
        ("Tagged(0x" + "f" * 5_000 + ", 2)", "args[0]: 'a very large number' is not a string"),
        ("Symbol('a', 'b')", "args[0]: \"Symbol('a', 'b')\" is not a literal"),
        ("1,,2", "args: not Python literals: invalid syntax"),
        ("0777", "args: not Python literals: leading zeros"),
        ("9" * 5_000, "args: not Python literals: Exceeds the limit"),
        ("b'x' 'y'", "args: not Python literals: cannot mix bytes and nonbytes literals"),
        ("x; y", "args: ';' does not belong in a literal"),
        ("1)(2", "args: '(' does not belong in a literal"),
        ("1 is 2", "args: 'is' does not belong in a literal"),
    ],
)
def test_the_fault_is_named(text: str, reason: str) -> None:
    with pytest.raises(RequestError) as caught:
        parse_arguments(text)
    assert str(caught.value).startswith(reason)


def test_an_escape_that_means_nothing_stands_for_itself() -> None:
    assert parse_arguments(r"'\d', '\n'") == (["\\d", "\n"], {})


def test_large_numbers_are_read_in_hexadecimal() -> None:
    assert parse_arguments("0x" + "f" * 5_000) == ([16**5_000 - 1], {})


@given(st.text(alphabet="0123456789abfkox'\"[]{}(),:=-+. \n\\#_Tagedl*%\x00\ud800é"))
def test_any_text_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(RequestError):
        parse_arguments(text)


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)


@given(st.lists(_VALUES, max_size=4), st.dictionaries(st.sampled_from(["a", "b_1", "ko1", "é"]), _VALUES))
def test_what_python_writes_is_read(args: list[Any], kwargs: dict[str, Any]) -> None:
    text = ", ".join([*map(repr, args), *(f"{name}={value!r}" for name, value in kwargs.items())])
    assert parse_arguments(text) == (args, kwargs)
