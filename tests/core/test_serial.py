"""Serial mode: the same inputs make the same store, to the byte, wherever the kernel was killed in between.

The inputs are those of the machine of `tests.core.test_model`: vats, clients and workers that do anything. They are
given again, in the same order, to kernels that are killed: what was not committed is lost, and its inputs come again.
"""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import Any

import pytest

from kernel_py.core.archive import export_archive
from kernel_py.core.cluster_config import COMMAND_KIND, VAT_KINDS
from kernel_py.core.kernel import Kernel
from kernel_py.core.store import MemoryBackend
from kernel_py.hosts.memory import run_now
from tests.core.test_model import LIMITS, SERVICES, KernelMachine

Inputs = list[tuple[str, tuple[Any, ...]]]

STEPS = 120


IDEMPOTENT = tuple(replace(service, is_idempotent=True) for service in SERVICES)
"""A new kernel rejects calls of other services, which is an input of its own."""


class SerialMachine(KernelMachine):
    is_serial = True
    hosted = IDEMPOTENT


STEP_NAMES = (
    *("reply",) * 8, *("call_services", "commit", "launch") * 2, "ask", "terminate_vat", "terminate_cluster",
    "upgrade_vat", "pause_resume_or_restart", "change_an_object", "reload_cluster", "collect_garbage", "acknowledge",
    "answer_a_call", "let_time_pass", "break_a_rule", "fail", "lose_a_worker", "stop_in_the_middle",
)  # fmt: skip
NEEDS_INFLIGHT = ("break_a_rule", "fail", "lose_a_worker", "stop_in_the_middle")


def take_step(machine: SerialMachine, rng: Random) -> None:
    name = rng.choice(STEP_NAMES)
    if name in NEEDS_INFLIGHT and not machine.driver.inflight:
        return
    if name == "answer_a_call" and not machine.driver.invokes:
        return
    if name in {"terminate_vat", "upgrade_vat", "pause_resume_or_restart"} and not machine.living():
        return
    step = getattr(machine, name)
    match name:
        case "reply":
            step(rng, is_audited=False)
        case "launch":
            step(rng.randint(1, 3))
        case "terminate_vat":
            step(rng, "enough")
        case "upgrade_vat":
            step(rng, rng.choice(("a.py", "b.py")))
        case "pause_resume_or_restart":
            step(rng, rng.choice(("pauseVat", "resumeVat", "resumeVat", "restartVat")))
        case "change_an_object":
            step(rng, rng.choice(("revoke", "pin", "unpin")))
        case "let_time_pass":
            step(rng.choice((0.1, 1, 3, 1_000)))
        case "collect_garbage" | "commit":
            step()
        case _:
            step(rng)


def make_inputs(rng: Random) -> tuple[Inputs, MemoryBackend]:
    """What a serial kernel is given by a machine, and the store that comes of it."""
    machine = SerialMachine()
    machine.driver.is_checking = False  # which tests.core.test_model does
    machine.begin()
    for _ in range(STEPS):
        take_step(machine, rng)
    machine.commit()
    return machine.driver.inputs, machine.driver.backend


def make_kernel(backend: MemoryBackend) -> Kernel:
    kinds = (*VAT_KINDS, COMMAND_KIND)
    texts = run_now(backend.load())
    return Kernel(texts, seed="seed", limits=LIMITS, is_serial=True, services=IDEMPOTENT, kinds=kinds)


def commit(kernel: Kernel, backend: MemoryBackend) -> None:
    kernel.take_actions()
    run_now(backend.commit(kernel.take_commit().delta))


def export(backend: MemoryBackend) -> bytes:
    written = bytearray()
    run_now(export_archive(backend, written.extend))
    return bytes(written)


def find_time(inputs: Inputs) -> int:
    """What the kernel was told last of the time: a host says it anew to a new kernel."""
    return max((arguments[0] for name, arguments in inputs if name == "dispatch"), default=0)


def give_all(inputs: Inputs, rng: Random, kills: int) -> MemoryBackend:
    """Give the inputs to a kernel that commits now and then, and is killed so many times."""
    backend = MemoryBackend()
    kernel = make_kernel(backend)
    killed_at = sorted(rng.randrange(len(inputs)) for _ in range(kills))
    position = stored = 0
    while position < len(inputs):
        if killed_at and position >= killed_at[0]:
            killed_at.pop(0)
            kernel, position = make_kernel(backend), stored
            kernel.look_at_clock(find_time(inputs[:position]))
            kernel.redeliver()
        name, arguments = inputs[position]
        getattr(kernel, name)(*arguments)
        position += 1
        if not rng.randint(0, 3):
            commit(kernel, backend)
            stored = position
    commit(kernel, backend)
    return backend


@pytest.mark.parametrize("seed", range(12))
def test_the_same_inputs_make_the_same_store_wherever_the_kernel_was_killed(seed: int) -> None:
    rng = Random(seed)
    inputs, first = make_inputs(rng)
    again, killed = give_all(inputs, rng, 0), give_all(inputs, rng, 12)
    assert [name for name, _ in inputs].count("complete") > 20
    assert again.texts == first.texts
    assert again.transcripts == first.transcripts
    assert export(again) == export(first)
    assert vars(killed) == vars(first)
    assert export(killed) == export(first)
