"""What instrumented modules do: their results, their gas, their depth, and their NaNs."""

from __future__ import annotations

import dataclasses

import pytest

from kernel_py.wasm import bodies
from kernel_py.wasm.limits import DEFAULT_WASM_LIMITS
from kernel_py.wasm.metering import START, meter
from tests.wasm.sources import load, load_metered

wasmtime = pytest.importorskip("wasmtime", exc_type=(ImportError, RuntimeError), reason="it is not in Pyodide")
from tests.wasm.running import GAS_START, STACK_START, Running, make_engine  # noqa: E402

pytestmark = pytest.mark.native


@pytest.fixture
def basics():
    return Running(load_metered("basics"))


# Gas -------------------------------------------------------------------------------------------


def test_gas_counts_plain_instructions(basics):
    assert basics.spent("increment", 1) == 3


def test_gas_counts_what_is_executed_only(basics):
    assert basics.spent("choose", 1) == 3
    assert basics.spent("choose", 0) == 5


def test_gas_of_a_loop_grows_with_its_rounds(basics):
    rounds = [basics.spent("loop", count) for count in (1, 2, 3, 1_000)]
    assert rounds[1] - rounds[0] == rounds[2] - rounds[1] == 9
    assert rounds[3] == rounds[0] + 999 * 9


def test_a_call_costs_more_than_an_instruction(basics):
    assert basics.spent("fib", 1) == 5
    assert basics.spent("fib", 2) == 4 + 2 * (3 + bodies.CALL_COST) + 1 + 2 * 5


def test_without_gas_nothing_runs_for_long(basics):
    basics.refill(gas=0)
    with pytest.raises(wasmtime.Trap, match="unreachable"):
        basics.call("forever")
    assert basics.gas < 0


def test_a_loop_without_end_ends_when_the_gas_does(basics):
    basics.refill(gas=1_000_000)
    with pytest.raises(wasmtime.Trap, match="unreachable"):
        basics.call("forever")
    assert basics.gas == -1


def test_recursion_without_end_ends_when_the_gas_does():
    running = Running(load_metered("basics"))
    running.refill(gas=1_000, stack=2**31 - 1)
    with pytest.raises(wasmtime.Trap, match="unreachable"):
        running.call("bottomless")
    assert -10 < running.gas < 0 < running.stack


def test_tail_calls_pay_and_take_no_depth(basics):
    assert basics.call("tail", 100_000) == 77
    assert basics.stack == STACK_START
    assert basics.spent("tail", 11) - basics.spent("tail", 10) == basics.spent("tail", 10) - basics.spent("tail", 9)


@pytest.mark.parametrize("name, unit", [("fill", 8), ("copy", 8)])
def test_bulk_memory_is_charged_by_size(basics, name, unit):
    assert basics.spent(name, 60_000) - basics.spent(name, 0) == 60_000 // unit


def test_growing_memory_is_charged_by_page(basics):
    assert basics.spent("grow", 5) - basics.spent("grow", 0) == 5 * bodies.PAGE_COST


def test_growing_a_table_is_charged_by_element(basics):
    assert basics.spent("grow_table", 7) - basics.spent("grow_table", 0) == 7


def test_bulk_memory_is_refused_before_it_is_done(basics):
    basics.refill(gas=100)
    with pytest.raises(wasmtime.Trap, match="unreachable"):
        basics.call("fill", 60_000)
    assert basics.gas < 0
    assert basics.memory()[:8] == bytes(8)


def test_the_same_work_costs_the_same_at_every_optimisation():
    metered = load_metered("basics")
    gas = []
    for opt in ("none", "speed", "speed_and_size"):
        running = Running(metered, engine=make_engine(opt=opt))
        running.call("fib", 15)
        running.call("depth", 100)
        running.call("indirect", 1, 9)
        gas.append(running.gas)
    assert gas[0] == gas[1] == gas[2] < GAS_START


# Depth -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("depth", [0, 1, 2, 7, 100])
def test_depth_is_given_back_on_every_way_out(basics, depth):
    assert basics.call("depth", depth) == depth
    assert basics.stack == STACK_START


def test_pitfall_22_a_deep_recursion_ends_at_the_logical_limit_the_same_at_every_optimisation():
    """The engine's own limit differs by optimisation and by what else is measured; it must never be met."""
    metered = load_metered("basics")
    seen = []
    for opt in ("none", "speed"):
        running = Running(metered, engine=make_engine(opt=opt))
        with pytest.raises(wasmtime.Trap) as raised:
            running.call("bottomless")
        assert raised.value.trap_code is wasmtime.TrapCode.UNREACHABLE
        seen.append((running.gas, running.stack))
    assert seen[0] == seen[1]
    assert seen[0][1] < 0 < seen[0][0]


def test_the_depth_that_is_reached_is_that_of_the_limit():
    running = Running(load_metered("basics"))
    running.refill(stack=1_200)
    assert running.call("depth", 90) == 90
    with pytest.raises(wasmtime.Trap, match="unreachable"):
        running.call("depth", 110)
    assert running.stack < 0


def write_recursion(kind, count):
    """A function that calls itself for ever with `count` values alive, in locals or as operands."""
    if kind == "locals":
        before = "".join(f"(local.set {i + 1} (i64.add (local.get 0) (i64.const {i})))" for i in range(count))
        after = "".join(f"(local.get {i + 1}) (i64.xor)" for i in range(count))
        body = f"(local{' i64' * count}) {before} (call $f (local.get 0)) {after}"
        return f'(func $f (export "f") (param i64) (result i64) {body})'
    operands = "".join(f"(i64.mul (local.get 0) (i64.const {i + 3}))" for i in range(count))
    return f'(func $f (export "f") (param i64) (result i64) {operands} (call $f (local.get 0)) {"(i64.xor)" * count})'


@pytest.mark.parametrize("kind", ["locals", "operands"])
@pytest.mark.parametrize("count", [1, 30, 1_000])
def test_pitfall_22_large_frames_count_for_what_they_take(kind, count):
    metered = meter(bytes(wasmtime.wat2wasm(f"(module {write_recursion(kind, count)})")), imports={})
    left = []
    for opt in ("none", "speed"):
        running = Running(metered, engine=make_engine(opt=opt))
        with pytest.raises(wasmtime.Trap) as raised:
            running.call("f", 7)
        assert raised.value.trap_code is wasmtime.TrapCode.UNREACHABLE
        left.append(running.stack)
    assert left[0] == left[1] < 0


# Values ----------------------------------------------------------------------------------------


def test_nans_are_canonical(basics):
    assert basics.call("nan32") == 0x7FC00000
    assert basics.call("nan64") == 0x7FF8000000000000
    assert basics.call("nan_lanes") == 0x7FC00000_3F800000  # 0/0, and 2/2 beside it


def test_nans_that_are_only_moved_keep_their_bits(basics):
    assert basics.call("payload") == 0x7FF8000000000123


def test_several_results_pass_the_epilogue(basics):
    assert basics.call("pair", 0) == [3, 4]
    assert basics.call("pair", 1) == [1, 2]
    assert basics.stack == STACK_START


def test_memory_and_tables_do_not_grow_beyond_their_limits():
    limits = dataclasses.replace(DEFAULT_WASM_LIMITS, memory_pages_max=3, table_elements_max=4)
    running = Running(load_metered("basics", limits=limits))
    assert running.call("grow", 2) == 1
    assert running.call("grow", 1) == -1
    assert running.call("grow_table", 2) == 2
    assert running.call("grow_table", 1) == -1


def test_a_declared_maximum_below_the_limit_stays(basics):
    assert basics.call("grow_table", 18) == 2
    assert basics.call("grow_table", 1) == -1


def test_the_start_function_waits_for_its_host(basics):
    assert basics.call("hidden") == 7
    basics.call(START)
    assert basics.call("hidden") == 8


def test_a_trap_of_the_guest_is_its_own(basics):
    with pytest.raises(wasmtime.Trap, match="unreachable"):
        basics.call("trap")
    assert basics.gas > 0 < basics.stack


def test_hidden_globals_are_state_that_can_be_put_into_a_fresh_instance(basics):
    metered = load_metered("basics")
    basics.call(START)
    again = Running(metered)
    for each in metered.state:
        again.exports[each.name].set_value(again.store, basics.exports[each.name].value(basics.store))
    assert again.call("hidden") == 8


def test_uninstrumented_code_does_the_same():
    plain, metered = Running(load("basics")), Running(load_metered("basics"))
    for name, args in (("fib", (12,)), ("loop", (9,)), ("indirect", (0, 4)), ("depth", (33,)), ("payload", ())):
        assert plain.call(name, *args) == metered.call(name, *args)
