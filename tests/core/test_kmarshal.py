"""What the kernel itself says and shows."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel_py.core import kmarshal
from kernel_py.core.kmarshal import Ref
from kernel_py.core.literals import parse_arguments
from kernel_py.wire.capdata import CapData
from kernel_py.wire.errors import MarshalError
from kernel_py.wire.limits import DEFAULT_LIMITS


@pytest.mark.parametrize(
    "body, slots, shown",
    [
        ('#"hi"', (), "'hi'"),
        ('#"+7"', (), "7"),
        ("#7", (), "7.0"),
        ('#"#undefined"', (), "Undefined"),
        ('#{"a":["+1",null,true]}', (), "{'a': [1, None, True]}"),
        ('#"$0.Alleged: Purse"', ("ko20",), "<Purse ko20>"),
        ('#["$0","&1"]', ("ko20", "kp41"), "[<object ko20>, <promise kp41>]"),
        ('#{"#error":"no","name":"ValueError"}', (), "ValueError('no')"),
        ('#{"#tag":"t","payload":["$0"]}', ("ko3",), "Tagged('t', [<object ko3>])"),
        ('#"%@@iterator"', (), "Symbol(name='@@iterator')"),
        ('#"+1' + "0" * 5_000 + '"', (), f"{10**5_000:#x}"),
    ],
)
def test_a_value_is_shown_as_python_would_write_it(body: str, slots: tuple[str, ...], shown: str) -> None:
    assert kmarshal.render(CapData(body, slots)) == shown


@pytest.mark.parametrize(
    "body", ["", "#", "x", "#[", '#"$0"', '#"&7"', '{"@qclass":"slot","index":0}', "#" + "[" * 999]
)
def test_what_cannot_be_decoded_is_shown_as_that(body: str) -> None:
    assert kmarshal.render(CapData(body)).startswith("<undecodable: ")


@given(st.text(alphabet='#"$&+-0123.[]{}:,!%*nul\\\ud800 e', max_size=40), st.lists(st.sampled_from(["ko1", "kp2"])))
def test_showing_never_fails(body: str, slots: list[str]) -> None:
    data = CapData("#" + body, tuple(slots))
    assert isinstance(kmarshal.render(data), str)
    assert isinstance(kmarshal.method_of(data.body), str)
    args, kwargs = kmarshal.arguments_of(data)
    assert isinstance(args, list)
    assert isinstance(kwargs, dict)
    assert kmarshal.find_single_slot(data) in {None, *slots}


def test_what_is_shown_is_cut() -> None:
    assert len(kmarshal.render(CapData('#"' + "x" * 1_000_000 + '"'))) <= DEFAULT_LIMITS.error_chars_max


@pytest.mark.parametrize(
    "body, method",
    [
        ('#["transfer",[]]', "transfer"),
        ('#["!#odd",[]]', "#odd"),
        ('#["#undefined",[]]', "()"),
        ("#[null]", "()"),
        ("#[]", "?"),
        ("#7", "?"),
        ("#", "?"),
        ("", "?"),
        ("#{}", "?"),
        ('#["' + "x" * 500 + '"]', "x" * 100),
    ],
)
def test_the_method_is_found(body: str, method: str) -> None:
    assert kmarshal.method_of(body) == method


def test_arguments_are_shown_one_by_one() -> None:
    call = CapData('#["m",["+1","$0.Alleged: P"],{"a":"x"}]', ("ko9",))
    assert kmarshal.arguments_of(call) == (["1", "<P ko9>"], {"a": "'x'"})
    assert kmarshal.arguments_of(CapData("#7")) == (["<not a call: #7>"], {})
    assert kmarshal.arguments_of(CapData('#["m",["$5"]]'))[0][0].startswith("<undecodable")


@pytest.mark.parametrize(
    "body, slots, found",
    [
        ('#"$0"', ("ko1",), "ko1"),
        ('#"&0"', ("kp1",), "kp1"),
        ('#"$0.Alleged: x\\"y"', ("ko1",), "ko1"),
        (' #"$0"', ("ko1",), None),
        ('#"$00"', ("ko1",), None),
        ('#"$1"', ("ko1",), None),
        ('#"!$0"', ("ko1",), None),
        ('#["$0"]', ("ko1",), None),
        ('#"$0"', ("ko1", "ko1"), None),
        ("#7", ("ko1",), None),
        ("", ("ko1",), None),
    ],
)
def test_a_reference_alone_is_recognised(body: str, slots: tuple[str, ...], found: str | None) -> None:
    assert kmarshal.find_single_slot(CapData(body, slots)) == found


def test_a_call_has_its_keyword_arguments_last() -> None:
    call = kmarshal.serialize_call("m", [1, Ref("ko3", "Alleged: P")], {"a": Ref("kp4")})
    assert call == CapData('#["m",["+1","$0.Alleged: P"],{"a":"&1"}]', ("ko3", "kp4"))
    assert kmarshal.serialize_call("m", []).body == '#["m",[]]'


def test_an_error_is_passable() -> None:
    assert kmarshal.serialize_error("no", "TypeError") == CapData('#{"#error":"no","name":"TypeError"}')
    assert len(kmarshal.serialize_error("x" * 1_000_000).body) < 2 * DEFAULT_LIMITS.error_chars_max


def test_what_cannot_be_passed_is_refused_with_its_path() -> None:
    with pytest.raises(MarshalError, match=r"^p\[0\]"):
        kmarshal.serialize([object()], "p")


def test_what_is_shown_of_data_can_be_sent() -> None:
    data = kmarshal.serialize_call("m", [[1, "x", None, {"a": 2.5, "b": b"c"}, True]])
    (shown,), _ = kmarshal.arguments_of(data)
    assert parse_arguments(shown) == ([[1, "x", None, {"a": 2.5, "b": b"c"}, True]], {})
