"""A million contacts in the vat store of a vat of kind "worker". Figures are in the report: ``--junitxml``."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

import pytest

from e2e.harness.control import Control
from e2e.test_examples import launch_example

PORTION = 10_000
PORTIONS = 100


@pytest.mark.soak
def test_a_million_contacts_are_kept_and_found(
    control: Control, record_property: Callable[[str, object], None]
) -> None:
    launched = launch_example(control, "contacts", {"book": "worker"})
    root, vat = launched["root"], launched["vats"]["book"]
    control.call(root, "search", "'Grace Hopper', 1_000")
    started = time.monotonic()
    for portion in range(1, PORTIONS + 1):
        assert control.call(root, "fill", str(PORTION)) == str(100 + portion * PORTION)
    filled_s = time.monotonic() - started
    memory = control.vat_status(vat)["memory_bytes"]
    # What is shown of a value is cut; its body is whole.
    found = json.loads(control.send(root, "search", "'Grace Hopper', 1_000")["body"].removeprefix("#"))
    search_ms = control.last_ms
    assert len(found) == 1_000
    assert "'Kathleen Lamport'" in control.call(root, "page", "'Kathleen Knuth', 3")
    page_ms = control.last_ms
    control.call(root, "add", "'Ada Lovelace', '+441815'")
    add_ms = control.last_ms
    figures = {
        "contacts_per_s": PORTION * PORTIONS / filled_s,
        "search_of_1000_ms": search_ms,
        "page_of_3_ms": page_ms,
        "add_one_ms": add_ms,
        "memory_mb": memory / 1e6,
    }
    for name, figure in figures.items():
        record_property(name, round(figure))
