"""Keys of collections as text: the format, and that the order of texts is the order of keys."""

from __future__ import annotations

import math
import struct
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel_py.vat.keys import FIRST, LAST, REFERENCES, SCALARS, decode_key, encode_key, encode_reference, find_vref
from kernel_py.wire.errors import MarshalError
from kernel_py.wire.passable import Symbol, Undefined

CHARS_MAX = 220

EXAMPLES = [  # from the reference, 5
    (True, "btrue"),
    (False, "bfalse"),
    (1.0, "fbff0000000000000"),
    (-1.0, "f400fffffffffffff"),
    (0.0, "f8000000000000000"),
    (-0.0, "f8000000000000000"),
    (math.nan, "ffff8000000000000"),
    (math.inf, "ffff0000000000000"),
    (0, "p1:0"),
    (7, "p1:7"),
    (12, "p2:12"),
    (10**10, "p~11:10000000000"),
    (10**99, "p~~100:1" + "0" * 99),
    (-1, "n9:9"),
    (-12, "n8:88"),
    (-99, "n8:01"),
    (-(10**10), "n#89:90000000000"),
    ("", "s"),
    ("text", "stext"),
    ("\0ключ", "s\0ключ"),
    (None, "v"),
    (Symbol("@@iterator"), "y@@iterator"),
    (Undefined, "z"),
]


@pytest.mark.parametrize("key, text", EXAMPLES)
def test_the_format_is_that_of_encode_passable(key, text):
    assert encode_key(key, CHARS_MAX) == text


def test_a_reference_is_its_ordinal_and_name():
    assert encode_reference(12, "o-50") == "r0000000012:o-50"
    assert decode_key("r0000000012:o-50", str.upper) == "O-50"
    assert (find_vref("r0000000012:o+d10/1:0"), find_vref("sr1:o-50")) == ("o+d10/1:0", None)


@pytest.mark.parametrize("key", [b"bytes", (1,), [1], {}, object(), 1j])
def test_other_values_are_no_scalars(key):
    assert encode_key(key, CHARS_MAX) is None


@pytest.mark.parametrize(
    "key, error",
    [
        ("x" * 220, "at most 220 characters, not 221"),
        (10**216, "at most 220 characters, not 224"),
        (-(10**216), "at most 220 characters, not 224"),
        (10**100_000, "more digits"),
        ("\ud800", "lone surrogates"),
        (Symbol("\ud800"), "lone surrogates"),
        (Symbol("@@nothing"), "not a well-known symbol"),
    ],
    ids=lambda value: value if isinstance(value, str) and value.isascii() and len(value) < 50 else "",
)
def test_what_cannot_be_a_key_is_refused(key, error):
    with pytest.raises(MarshalError, match=error):
        encode_key(key, CHARS_MAX)


_symbols = st.text(st.characters(exclude_categories=["Cs"]), max_size=20).filter(lambda name: not name.startswith("@@"))
keys = st.one_of(
    st.booleans(),
    st.floats(),
    st.integers(),
    st.integers(-(10**120), 10**120),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=50),
    st.none(),
    _symbols.map(Symbol),
    st.just(Undefined),
)


def rank(key):
    """Where a key belongs: its type's place, then its value in an order of Python's own."""
    place = list(SCALARS).index(type(key))
    if isinstance(key, float):
        return place, (1, 0.0) if math.isnan(key) else (0, key)
    if isinstance(key, Symbol):
        return place, key.name
    return place, 0 if key in (None, Undefined) else key


@given(keys, keys)
def test_the_order_of_texts_as_the_store_compares_them_is_the_order_of_keys(one, other):
    texts = [encode_key(key, 10_000).encode() for key in (one, other)]
    assert (texts[0] < texts[1]) is (rank(one) < rank(other))
    assert (texts[0] == texts[1]) is (rank(one) == rank(other))


@given(keys)
def test_a_key_comes_back_as_it_was(key):
    text = encode_key(key, 10_000)
    back = decode_key(text, str)
    assert type(back) is type(key)
    if isinstance(key, float):
        assert struct.pack(">d", back) == struct.pack(">d", math.nan if math.isnan(key) else key + 0.0)
    else:
        assert back == key


@given(keys)
def test_a_text_lies_among_those_of_its_type_and_within_the_collection(key):
    text = encode_key(key, 10_000)
    low, high = SCALARS[type(key)]
    assert FIRST < low <= text < high <= LAST


def test_ranges_of_types_do_not_overlap():
    ranges = sorted([*SCALARS.values(), REFERENCES])
    assert all(before[1] <= after[0] for before, after in pairwise(ranges))


@given(st.lists(st.integers(1, 9_999_999_999), min_size=2, max_size=2))
def test_references_are_in_the_order_of_their_ordinals(ordinals):
    texts = [encode_reference(ordinal, vref) for ordinal, vref in zip(ordinals, ("o-9", "o+1"), strict=True)]
    if ordinals[0] != ordinals[1]:
        assert (texts[0] < texts[1]) is (ordinals[0] < ordinals[1])
