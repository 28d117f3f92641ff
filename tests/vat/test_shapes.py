"""Types of what is kept are compared with those of the next incarnation."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal, TypedDict

import pytest

from kernel_py.vat import Durable, Exo, M
from kernel_py.vat.annotations import read_annotation
from kernel_py.vat.guards import shape_of
from kernel_py.vat.shapes import covers, describe_shape


class Thing(Durable, kind="test_shapes.Thing"):
    pass


class Renamed(Durable, kind="test_shapes.Thing"):
    pass


class Other(Durable, kind="test_shapes.Other"):
    pass


class Local(Exo):
    pass


class Order(TypedDict):
    amount: int


def shape(annotation):
    made = shape_of(read_annotation(annotation))
    assert json.loads(json.dumps(made)) == made
    return made


@pytest.mark.parametrize(
    "new, old",
    [
        (int, int),
        (Any, int),
        (int | str, int),
        (float, int),
        (int | None, int),
        (str, Literal["a", "b"]),
        (Literal["a", "b", 1], Literal["a", 1]),
        (list, list[int]),
        (list[float], list[int]),
        (list[int | str], tuple[int, str]),
        (tuple[float, str], tuple[int, str]),
        (dict, dict[str, int]),
        (dict[str, float | None], dict[str, int]),
        (dict, Order),
        (Annotated[int, M.ge(5)], int),
        (Exo, Thing),
        (Renamed, Thing),
        (Thing | Other, Thing),
        (Local, Local),
        (Exception, ValueError),
    ],
)
def test_what_is_as_wide_or_wider_covers(new, old):
    assert covers(shape(new), shape(old))


@pytest.mark.parametrize(
    "new, old",
    [
        (int, Any),
        (str, int),
        (int, float),
        (int, int | None),
        (Literal["a"], Literal["a", "b"]),
        (Literal["a"], str),
        (list[int], list),
        (list[int], list[float]),
        (list[int], tuple[int, str]),
        (tuple[int], tuple[int, int]),
        (tuple[int, int], list[int]),
        (dict[str, int], dict[str, str]),
        (list, dict),
        (Other, Thing),
        (Thing, Thing | Other),
    ],
)
def test_what_is_narrower_or_another_does_not(new, old):
    assert not covers(shape(new), shape(old))


@pytest.mark.parametrize(
    "annotation, text",
    [
        (Any, "anything"),
        (int | str | None, "None | int | str"),
        (list[dict[str, float]], "list of dict of float | int"),
        (tuple[int, Thing], "[int, test_shapes.Thing]"),
        (list, "list"),
        (Literal["a"], "str 'a'"),
    ],
)
def test_a_shape_is_described(annotation, text):
    assert describe_shape(shape(annotation)) == text


def test_of_a_field_whose_annotation_could_not_be_read_nothing_is_kept():
    assert covers(shape(int), [])
    assert describe_shape([]) == "nothing"
