"""What the benchmarks show over long runs holds over shorter ones: nothing is left of what came and went."""

from __future__ import annotations

import pytest

from bench.flat import GROWTH_MAX, Churn
from bench.scripted import ScriptedKernel

pytestmark = pytest.mark.native

MESSAGES = 10_000
PARTS = 5


def test_memory_and_store_stay_flat_while_objects_and_promises_come_and_go() -> None:
    churn = Churn()
    churn.send(MESSAGES // PARTS)
    first = churn.send(MESSAGES // PARTS)
    for _ in range(PARTS - 2):
        last = churn.send(MESSAGES // PARTS)
    assert last.rows == first.rows
    assert last.chars <= first.chars * (1 + GROWTH_MAX / 100)
    assert last.blocks <= first.blocks * (1 + GROWTH_MAX / 100)
    assert last.transcript_chars > 2 * first.transcript_chars  # these grow: nothing else would show that it ran


def test_a_scripted_kernel_answers_all_that_it_can() -> None:
    kernel = ScriptedKernel(3)
    assert len(set(kernel.targets)) == 3
    objects = kernel.export_objects(1_500)
    assert len(set(objects)) == 1_500
    kernel.send([*objects, *kernel.targets])
    kernel.stall(0)
    kernel.send([kernel.targets[0], kernel.targets[1]])
    assert [kernel.count_waiting(other) for other in range(3)] == [1, 0, 0]
