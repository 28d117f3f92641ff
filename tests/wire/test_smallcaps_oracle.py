"""Smallcaps here and @endo/marshal agree, byte for byte and in both directions.

``SMALLCAPS_SEED=7 SMALLCAPS_COUNT=100000 pytest -m oracle tests/wire`` compares other values, and more.
"""

from __future__ import annotations

import os
from typing import Any

import pytest

from kernel_py.wire.capdata import CapData
from kernel_py.wire.errors import MarshalError
from tests.oracle import neutral

pytestmark = pytest.mark.oracle

SEED = int(os.environ.get("SMALLCAPS_SEED", "1"))
COUNT = int(os.environ.get("SMALLCAPS_COUNT", "5000"))
PIECE = 5_000


def seeds() -> list[int]:
    return list(range(SEED, SEED + max(1, COUNT // PIECE)))


@pytest.fixture(scope="module", params=seeds(), ids="seed {}".format)
def exchange(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Values made here with their bodies, and what the oracle says to both; values that it made."""
    seed = request.param
    maker = neutral.Maker(seed)
    values = [{"value": maker.make(), "ids": number % 2 == 0} for number in range(min(COUNT, PIECE))]
    bodies = [neutral.make_marshal(ids=item["ids"]).serialize(neutral.build(item["value"])) for item in values]
    answer = neutral.ask(encode=values, decode=bodies, make=(seed, len(values)))
    return {"seed": seed, "values": values, "bodies": bodies, **answer}


def as_capdata(item: dict[str, Any]) -> CapData:
    return CapData(item["body"], tuple(item["slots"]))


def test_bodies_and_slots_equal_the_oracles(exchange: dict[str, Any]) -> None:
    for number, (ours, theirs) in enumerate(zip(exchange["bodies"], exchange["encoded"], strict=True)):
        assert ours == as_capdata(theirs), f"seed {exchange['seed']}, value {number}: {exchange['values'][number]}"


def test_the_oracle_decodes_our_bodies_to_equal_values(exchange: dict[str, Any]) -> None:
    for number, (item, theirs) in enumerate(zip(exchange["values"], exchange["decoded"], strict=True)):
        expected = neutral.normalize(item["value"], error_names=neutral.JAVASCRIPT_ERRORS)
        assert isinstance(theirs, list), f"seed {exchange['seed']}, value {number}: {theirs}, {item}"
        assert neutral.normalize(theirs) == expected, f"seed {exchange['seed']}, value {number}: {item}"


def test_the_oracles_bodies_decode_to_equal_values(exchange: dict[str, Any]) -> None:
    for number, item in enumerate(exchange["made"]):
        value = neutral.make_marshal().unserialize(as_capdata(item))
        expected = neutral.normalize(item["value"])
        assert neutral.normalize(neutral.describe(value)) == expected, (
            f"seed {exchange['seed']}, made value {number}: {item}"
        )


def test_the_oracles_bodies_come_back_the_same_when_encoded_again(exchange: dict[str, Any]) -> None:
    for number, item in enumerate(exchange["made"]):
        value = neutral.make_marshal().unserialize(as_capdata(item))
        again = neutral.make_marshal(ids=item["ids"]).serialize(value)
        assert again == as_capdata(item), f"seed {exchange['seed']}, made value {number}: {item}"


def test_our_bodies_decode_to_what_was_encoded(exchange: dict[str, Any]) -> None:
    for number, (item, data) in enumerate(zip(exchange["values"], exchange["bodies"], strict=True)):
        value = neutral.make_marshal().unserialize(data)
        expected = neutral.normalize(item["value"])
        assert neutral.normalize(neutral.describe(value)) == expected, (
            f"seed {exchange['seed']}, value {number}: {item}"
        )
