"""The same gas, results and memory on wasmtime and in Node (V8)."""

from __future__ import annotations

import hashlib
import json
import subprocess
from pathlib import Path

import pytest
from hypothesis import Phase, given, settings

from kernel_py.wasm.metering import START, meter
from tests.wasm.generated import modules
from tests.wasm.sources import load_metered

wasmtime = pytest.importorskip("wasmtime", exc_type=(ImportError, RuntimeError), reason="it is not in Pyodide")
from tests.wasm.running import Running  # noqa: E402

pytestmark = [pytest.mark.native, pytest.mark.oracle]

SCRIPT = Path(__file__).with_name("node_run.mjs")
STACK = 32_768


def run_in_node(path: Path, gas: int, calls: list[str]) -> list[dict[str, object]]:
    text = subprocess.run(
        ["node", str(SCRIPT), str(path), str(gas), str(STACK), *calls], capture_output=True, text=True, check=True
    ).stdout
    return [json.loads(line) for line in text.splitlines()]


def run_in_wasmtime(metered, gas: int, calls: list[str]) -> list[dict[str, object]]:
    running = Running(metered)
    seen = []
    for call in calls:
        name, *args = call.split(",")
        running.refill(gas, STACK)
        try:
            value = running.call(name, *(float(text) if "." in text else int(text.rstrip("n")) for text in args))
            values = value if isinstance(value, list) else [] if value is None else [value]
            result = [str(each) for each in values] or ["undefined"]
        except wasmtime.Trap:
            result = None
        digest = hashlib.sha256(running.memory()).hexdigest()
        seen.append({"result": result, "gas": running.gas, "stack": running.stack, "memory": digest})
    return seen


CALLS = [
    START, "fib,20", "loop,1000", "depth,500", "bottomless", "pair,0", "indirect,1,9", "tail,50000", "fill,60000",
    "copy,50", "grow,3", "grow,500", "grow_table,3", "nan32", "nan64", "nan_lanes", "payload", "trap", "forever",
    "choose,0",
]  # fmt: skip


def test_gas_depth_results_and_memory_are_the_same_in_node(tmp_path):
    metered = load_metered("basics")
    path = tmp_path / "basics.wasm"
    path.write_bytes(metered.code)
    assert run_in_node(path, 1_000_000, CALLS) == run_in_wasmtime(metered, 1_000_000, CALLS)


def test_pitfall_22_the_depth_limit_is_reached_before_the_native_stack_of_node(tmp_path):
    path = tmp_path / "basics.wasm"
    path.write_bytes(load_metered("basics").code)
    [seen] = run_in_node(path, 1_000_000_000, ["bottomless"])
    assert seen["result"] is None
    assert seen["stack"] < 0 < seen["gas"]


@settings(max_examples=10, phases=[Phase.generate])
@given(modules())
def test_random_modules_are_the_same_in_node(tmp_path_factory, code):
    metered = meter(code, imports={})
    path = tmp_path_factory.mktemp("module") / "module.wasm"
    path.write_bytes(metered.code)
    calls = [f"{name},7n,3.5" for name in metered.exports]
    seen, expected = run_in_node(path, 1_000_000, calls), run_in_wasmtime(metered, 1_000_000, calls)
    for each in (*seen, *expected):
        each["result"] = each["result"] is not None  # floats are written differently
    assert seen == expected
