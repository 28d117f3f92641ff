from __future__ import annotations

import pytest

from kernel_py.wire.culprit import Culprit, index_step, key_step, name_type


def make_culprit(steps: list[str], *, is_too_deep: bool = False, containers: list[object] | None = None) -> Culprit:
    """A culprit that has passed out of containers, of which `steps` are named from the outside."""
    culprit = Culprit("it is no good", is_too_deep=is_too_deep)
    for position in reversed(range(len(steps))):
        culprit.pass_out_of(containers[position] if containers else [], steps[position])
    return culprit


def test_path_begins_at_the_root_and_ends_at_the_culprit() -> None:
    error = make_culprit([index_step(0), key_step("owner")]).as_marshal_error("args")
    assert error.path == "args[0]['owner']"
    assert str(error) == "args[0]['owner']: it is no good"


def test_culprit_at_the_root_has_the_roots_path() -> None:
    assert make_culprit([]).as_marshal_error("args").path == "args"
    assert str(make_culprit([]).as_marshal_error("")) == "it is no good"


def test_long_path_is_cut() -> None:
    path = make_culprit([index_step(0)] * 200).as_marshal_error("args").path
    assert path.endswith("[0]...")
    assert len(path) < 100


def test_long_key_is_cut() -> None:
    assert len(key_step("x" * 1000)) < 70


def test_cycle_is_reported_where_it_closes() -> None:
    outer: list[object] = []
    inner: list[object] = []
    steps = ["[0]", "[1]", "[0]", "[1]", "[0]"]
    containers: list[object] = [outer, inner, outer, inner, outer]
    error = make_culprit(steps, is_too_deep=True, containers=containers).as_marshal_error("args")
    assert error.path == "args[0][1]"
    assert "contains itself" in str(error)


def test_equal_containers_are_no_cycle() -> None:
    error = make_culprit(["[0]", "[0]"], is_too_deep=True, containers=[[], []]).as_marshal_error("args")
    assert str(error) == "args[0][0]: it is no good"


@pytest.mark.parametrize("value, name", [({1}, "a set"), (1, "an int"), (print, "a builtin_function_or_method")])
def test_type_is_named_with_its_article(value: object, name: str) -> None:
    assert name_type(value) == name
