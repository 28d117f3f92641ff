"""Smallcaps here and @endo/marshal agree, byte for byte and in both directions.

``SMALLCAPS_SEED=7 SMALLCAPS_COUNT=100000 pytest -m oracle tests/wire`` compares other values, and more.
"""

from __future__ import annotations

import os
import random
import re
from typing import Any

import pytest

from kernel_py.wire.capdata import CapData
from kernel_py.wire.errors import MarshalError
from kernel_py.wire.smallcaps import Marshal
from tests.oracle import endo, maker, neutral

pytestmark = pytest.mark.oracle

SEED = int(os.environ.get("SMALLCAPS_SEED", "1"))
COUNT = int(os.environ.get("SMALLCAPS_COUNT", "5000"))
PIECE = 5_000
UNKNOWN_TO_THE_ORACLE = re.compile(
    r'"\*'  # bytes
    r'|"%@@@@[^"]*(?:\\[nr]|[\u2028\u2029])'  # it takes this for another symbol than the one it encodes so
)


def seeds() -> list[int]:
    return list(range(SEED, SEED + max(1, COUNT // PIECE)))


@pytest.fixture(scope="module", params=seeds(), ids="seed {}".format)
def exchange(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Values made here with their bodies, and what the oracle says to both; values that it made."""
    seed = request.param
    make = maker.Maker(seed).make
    values = [{"value": make(), "ids": number % 2 == 0} for number in range(min(COUNT, PIECE))]
    bodies = [neutral.make_marshal(ids=item["ids"]).serialize(neutral.build(item["value"])) for item in values]
    answer = endo.ask(encode=values, decode=bodies, make=(seed, len(values)))
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


def test_damaged_bodies_that_decode_here_mean_the_same_to_the_oracle() -> None:
    chance = random.Random(SEED)
    make = maker.Maker(SEED).make
    accepted: list[tuple[CapData, object]] = []
    for _ in range(4 * PIECE):
        data = neutral.make_marshal().serialize(neutral.build(make()))
        damaged = CapData(maker.damage(data.body, chance), data.slots)
        if damaged.body != data.body and not UNKNOWN_TO_THE_ORACLE.search(damaged.body):
            try:
                accepted.append((damaged, LENIENT.unserialize(damaged)))
            except MarshalError:
                continue
    assert len(accepted) > PIECE / 10
    for (data, ours), theirs in zip(accepted, endo.ask(decode=[data for data, _ in accepted])["decoded"], strict=True):
        assert isinstance(theirs, list), f"seed {SEED}, {data}: {theirs}"
        assert loosely(theirs) == loosely(neutral.describe(ours)), f"seed {SEED}, {data}"


def slot_to_value(slot: str, iface: str | None, is_promise: bool) -> object:
    if is_promise != slot.startswith("p"):
        raise MarshalError(f"{slot} is not what the body takes it for")
    return neutral.Promise(int(slot[2:])) if is_promise else neutral.Remotable(int(slot[2:]), iface or "")


LENIENT = Marshal(value_to_slot=lambda value: None, slot_to_value=slot_to_value)


def loosely(description: list[Any]) -> list[Any]:
    """`description` without interfaces, which the oracle keeps for as long as it runs, and without foreign names."""
    match neutral.normalize(description, error_names=neutral.JAVASCRIPT_ERRORS):
        case ["array", items]:
            return ["array", [loosely(item) for item in items]]
        case ["record", items]:
            return ["record", [[key, loosely(item)] for key, item in items]]
        case ["tagged", tag, payload]:
            return ["tagged", tag, loosely(payload)]
        case ["remotable", number, _]:
            return ["remotable", number]
        case other:
            return other
