from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel_py.wire import canonical

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=15,
)
BRACKETS = st.text('[]{}",:\\ a1', max_size=40)


def depth_of(value: object) -> int:
    match value:
        case list():
            return 1 + max(map(depth_of, value), default=0)
        case dict():
            return 1 + max(map(depth_of, value.values()), default=0)
        case _:
            return 0


def is_too_deep(text: str, depth_max: int) -> bool:
    try:
        canonical.check_depth(text, depth_max)
    except RecursionError:
        return True
    return False


@given(JSON)
def test_value_comes_back(value: object) -> None:
    assert canonical.load(canonical.dump(value)) == value
    assert canonical.load(canonical.dump_sorted(value)) == value


@given(st.text(st.characters(exclude_categories=())))
def test_text_dumps_to_valid_utf8_and_comes_back(text: str) -> None:
    dumped = canonical.dump([text])
    dumped.encode()
    joined = text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")
    assert canonical.load(dumped)[0].encode("utf-16", "surrogatepass") == joined.encode("utf-16", "surrogatepass")


@pytest.mark.parametrize(
    "text", ["NaN", "[Infinity]", "-Infinity", "", "[", "nul", "[1,]", "'a'", '"\n"', "1 1", "\ufeff1"]
)
def test_what_is_not_json_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        canonical.load(text)


# Depth ---------------------------------------------------------------------------------------


@given(JSON, st.integers(0, 6))
def test_depth_of_json_is_found_exactly(value: object, depth_max: int) -> None:
    for text in (canonical.dump(value), json.dumps(value, indent=1), canonical.dump_sorted(value)):
        assert is_too_deep(text, depth_max) == (depth_of(value) > depth_max)


@given(BRACKETS, st.integers(0, 6))
def test_parser_never_nests_deeper_than_was_allowed(text: str, depth_max: int) -> None:
    if not is_too_deep(text, depth_max):
        assert deepest_parsed(text) <= depth_max


def deepest_parsed(text: str) -> int:
    """How deep a parser of JSON gets in `text` before it ends or fails."""
    depth = deepest = 0
    in_string = False
    skip = False
    for character in text:
        if skip:
            skip = False
        elif in_string:
            skip = character == "\\"
            in_string = character != '"'
        elif character == '"':
            in_string = True
        elif character in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif character in "]}":
            depth -= 1
            if depth < 0:
                return deepest
    return deepest


def test_brackets_in_strings_do_not_count() -> None:
    assert not is_too_deep('["' + "[" * 1000 + '\\"[[\\\\",{"[[[[[":"{{{{{"}]', 2)
    assert is_too_deep('["' + "[" * 1000 + '\\"[[\\\\",{"[[[[[":["{{{{{"]}]', 2)


@pytest.mark.parametrize("opening", ["[", '{"a":', '["a",{"b":'])
@pytest.mark.parametrize("count", [1_000, 1_000_000])
def test_nesting_that_would_end_the_interpreter_is_refused(opening: str, count: int) -> None:
    with pytest.raises(RecursionError, match="nested more than 400 deep"):
        canonical.load(opening * count)


@pytest.mark.parametrize(
    "text",
    ['"' * 2_000_001, '["' + '\\"' * 1_000_000, '["' + '\\"' * 1_000_000 + "\\", "\\" * 2_000_000, '"\\' * 1_000_000],
    ids=["quotes", "escaped quotes", "an escape at the end", "escapes", "quotes and escapes"],
)
def test_depth_of_hostile_text_is_found_in_linear_time(text: str) -> None:
    # In quadratic time this would take hours.
    assert is_too_deep("[" * 401 + text, 400)
