from __future__ import annotations

import math
import re
import sys
from collections.abc import Iterator

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from kernel_py.wire.numbers import format_bigint, format_number, parse_bigint

ECMASCRIPT = re.compile(r"-?(0|[1-9][0-9]{0,20})(\.[0-9]*[1-9])?|-?[1-9](\.[0-9]*[1-9])?e[+-][1-9][0-9]{0,2}")


@pytest.mark.parametrize(
    "number, text",
    [
        (0.0, "0"),
        (-0.0, "0"),
        (5.0, "5"),
        (-5.0, "-5"),
        (0.1, "0.1"),
        (-1.5, "-1.5"),
        (123456.789, "123456.789"),
        (1e15, "1000000000000000"),
        (1e16, "10000000000000000"),
        (1e20, "100000000000000000000"),
        (123456789012345680000.0, "123456789012345680000"),
        (-9.5e20, "-950000000000000000000"),
        (1e21, "1e+21"),
        (1.5e21, "1.5e+21"),
        (1.7976931348623157e308, "1.7976931348623157e+308"),
        (0.0001, "0.0001"),
        (0.00001, "0.00001"),
        (0.000001, "0.000001"),
        (0.0000012345, "0.0000012345"),
        (0.0000001, "1e-7"),
        (-1.25e-7, "-1.25e-7"),
        (5e-324, "5e-324"),
        (2.2250738585072014e-308, "2.2250738585072014e-308"),
    ],
)
def test_number_is_written_as_ecmascript_does(number: float, text: str) -> None:
    assert format_number(number) == text


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_number_reads_back_as_itself(number: float) -> None:
    text = format_number(number)
    assert ECMASCRIPT.fullmatch(text)
    assert float(text) == number


@given(st.integers(-1074, 1023), st.sampled_from([1.0, -1.0]))
def test_every_power_of_two_reads_back_as_itself(exponent: int, sign: float) -> None:
    number = math.ldexp(sign, exponent)
    assert ECMASCRIPT.fullmatch(format_number(number))
    assert float(format_number(number)) == number


@pytest.fixture
def least_conversion_limit() -> Iterator[None]:
    """Integers are converted under the least limit that a vat could give its interpreter."""
    before = sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(640)
    yield
    sys.set_int_max_str_digits(before)


@pytest.mark.parametrize("number, text", [(0, "+0"), (7, "+7"), (-7, "-7"), (10**20, "+1" + "0" * 20)])
def test_bigint_is_written_with_its_sign(number: int, text: str) -> None:
    assert format_bigint(number, 100) == text
    assert parse_bigint(text, 100) == number


@given(st.integers() | st.integers(-(10**3000), 10**3000))
@example(10**500 - 1)
@example(10**500)
@example(-(10**501))
@example(10**1000)
@example(-(10**1000) - 1)
def test_bigint_reads_back_as_itself(number: int) -> None:
    text = format_bigint(number, 4_000)
    assert text.lstrip("+") == str(number)
    assert parse_bigint(text, 4_000) == number


@pytest.mark.usefixtures("least_conversion_limit")
@pytest.mark.parametrize("digits", [499, 500, 501, 640, 641, 4301, 20_000])
def test_long_bigint_is_converted_whatever_the_interpreters_limit(digits: int) -> None:
    number = -(10**digits) + 1
    text = "-" + "9" * digits
    assert format_bigint(number, 20_000) == text
    assert parse_bigint(text, 20_000) == number


def test_bigint_over_the_limit_is_refused_in_both_directions() -> None:
    assert len(format_bigint(10**1_000 - 1, 1_000)) == 1_001
    with pytest.raises(OverflowError, match="more than 1,000 digits"):
        format_bigint(10**1_000, 1_000)
    with pytest.raises(OverflowError, match="more than 1,000 digits"):
        format_bigint(1 << 10_000_000, 1_000)
    with pytest.raises(OverflowError, match="more than 1,000 digits"):
        parse_bigint("-1" + "0" * 1_000, 1_000)


@pytest.mark.parametrize(
    "text",
    [
        *(
            "+",
            "-",
            "",
            "7",
            "+07",
            "-0",
            "-07",
            "+ 7",
            "+7 ",
            " +7",
            "+7\n",
            "+1_000",
            "+-7",
            "++7",
            "+0x7",
            "+7.0",
            "+7e1",
        ),
        *("+٣", "+²", "+" + "0" * 600, "+1" + "0" * 600 + "_1", "-0" + "1" * 600),
    ],
)
def test_bigint_in_any_other_form_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="signed decimal"):
        parse_bigint(text, 20_000)
