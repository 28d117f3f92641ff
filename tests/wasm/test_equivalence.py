"""An instrumented module computes what the module computes: random modules, with wasmtime as the oracle."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel_py.wasm.metering import meter
from tests.wasm.generated import modules

wasmtime = pytest.importorskip("wasmtime", exc_type=(ImportError, RuntimeError), reason="it is not in Pyodide")
from tests.wasm.running import GAS_START, STACK_START, Running, make_engine  # noqa: E402

pytestmark = pytest.mark.native


@pytest.fixture(scope="module")
def engines():
    made = make_engine(nan=True), make_engine(), make_engine(opt="none")
    yield made
    for engine in made:
        engine.close()


def outcome(running, name, args):
    """Results by their bits, or why there are none; then all state."""
    try:
        integer, number = running.call(name, *args)
        result = integer, struct.pack("<d", number)
    except wasmtime.Trap as trap:
        result = trap.trap_code
    state = [running.exports[f"g{index}"].value(running.store) for index in range(2)]
    return result, state, running.memory()


@given(modules(), st.integers(-(2**63), 2**63 - 1), st.floats())
def test_instrumented_code_computes_the_same(engines, code, integer, number):
    metered = meter(code, imports={})
    plain, instrumented, again = map(Running, (code, metered, metered), engines)
    for name in metered.exports:
        instrumented.refill()
        again.refill()
        expected = outcome(plain, name, (integer, number))
        assert outcome(instrumented, name, (integer, number)) == expected
        assert outcome(again, name, (integer, number)) == expected
        assert instrumented.gas == again.gas < GAS_START
        if not isinstance(expected[0], wasmtime.TrapCode):
            assert instrumented.stack == again.stack == STACK_START
