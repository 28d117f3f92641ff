"""Benchmarks of wasm vats: instrumenting modules, what instrumented code costs, and what a delivery costs."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.figures import Figure
from kernel_py.hosts.native.wasm import make_wasm_session
from kernel_py.hosts.native.wasm_config import EngineConfig
from kernel_py.hosts.native.wasm_engine import WasmtimeEngine
from kernel_py.hosts.native.wasm_loading import ModuleLoader
from kernel_py.wasm.metering import GAS, STACK, meter
from kernel_py.wasm.writer import write_bytes, write_section, write_u32, write_vector
from kernel_py.wire import canonical, protocol

ROUNDS = 5
DELIVERIES = 2_000
LARGE_FUNCTIONS = 20_000
_EXAMPLE = Path(__file__).resolve().parent.parent / "examples" / "wasm" / "counter_c.wasm"

WORK = """
(module
  (memory (export "memory") 1)
  (func $calls (export "calls") (param i32) (result i32)
    (if (result i32) (i32.lt_u (local.get 0) (i32.const 2)) (then (local.get 0))
      (else (i32.add (call $calls (i32.sub (local.get 0) (i32.const 1)))
                     (call $calls (i32.sub (local.get 0) (i32.const 2)))))))
  (func (export "floats") (param i32) (result i32) (local f64)
    (loop $again
      (local.set 1 (f64.add (local.get 1) (f64.div (f64.const 1) (f64.convert_i32_s (local.get 0)))))
      (br_if $again (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
    (i32.trunc_f64_s (local.get 1)))
  (func (export "memory_writes") (param i32) (result i32)
    (loop $again
      (i32.store (i32.and (local.get 0) (i32.const 0xfffc)) (i32.mul (local.get 0) (i32.const 7)))
      (br_if $again (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
    (i32.load (i32.const 0))))
"""
"""Three kinds of work: calls, floating point, and stores in a loop."""

WORK_CALLS = {"calls": 30, "floats": 30_000_000, "memory_writes": 50_000_000}


def measure(report: Callable[[Figure], None]) -> None:
    """Run every benchmark of wasm vats, reporting each figure as it is there."""
    _measure_instrumenting(report)
    _measure_overhead(report)
    _measure_deliveries(report)


def _best_s(work: Callable[[], Any]) -> float:
    """The best of some rounds: what the code can do when the machine lets it."""
    times = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return min(times)


def make_large_module(functions: int) -> tuple[bytes, int]:
    """A module of functions that resemble compiled code, no two the same; and how many instructions it has.

    It has what every vat's module has, and does nothing.
    """
    bodies = [b"\x04\x00\x41\x00\x0b", b"\x04\x00\x41\x00\x0b"]
    for number in range(functions):
        address = b"\x20\x00\x41" + write_u32(number % 64) + b"\x6a\x41\xfc\xff\x03\x71"  # 5: an address
        update = address + address + b"\x28\x02" + write_u32(number % 100) + b"\x41\x03\x6c\x36\x02\x08"  # 14
        call = b"\x20\x01\x41\x0a\x48\x04\x40\x20\x00\x10" + write_u32(2 + number // 2) + b"\x21\x01\x0b"  # 8
        loop = b"\x02\x40\x03\x40\x20\x01\x45\x0d\x01" + update + b"\x20\x01\x41\x01\x6b\x21\x01\x0c\x00\x0b\x0b"  # 26
        bodies.append(write_bytes(b"\x01\x01\x7f" + update + call + loop + update + b"\x20\x01\x0b"))
    module = b"\0asm\1\0\0\0" + b"".join(
        [
            write_section(1, write_vector([b"\x60\x01\x7f\x01\x7f", b"\x60\x02\x7f\x7f\x01\x7f"])),
            write_section(3, write_vector([b"\x00", b"\x01", *[b"\x00"] * functions])),
            write_section(5, b"\x01\x00\x01"),
            write_section(7, write_vector([b"\x06memory\x02\x00", b"\x05alloc\x00\x00", b"\x07deliver\x00\x01"])),
            write_section(10, write_vector(bodies)),
        ]
    )
    return module, 64 * functions


def _measure_instrumenting(report: Callable[[Figure], None]) -> None:
    code, instructions = make_large_module(LARGE_FUNCTIONS)
    metered = meter(code, imports={})
    seconds = _best_s(lambda: meter(code, imports={}))
    report(Figure("wasm: instrumenting", instructions / seconds / 1e6, "M instr/s", 0.8))
    report(Figure("wasm: instrumenting, size", 100 * len(metered.code) / len(code), "% of before", is_less_better=True))


def _measure_overhead(report: Callable[[Figure], None]) -> None:
    import wasmtime

    code = bytes(wasmtime.wat2wasm(WORK))
    plain_engine = wasmtime.Engine()
    plain = wasmtime.Store(plain_engine)
    plain_exports = wasmtime.Instance(plain, wasmtime.Module(plain_engine, code), []).exports(plain)
    engine = WasmtimeEngine()
    metered = meter(code, imports={})
    instance = engine.instantiate(metered, {})
    for name, argument in WORK_CALLS.items():
        plain_s = _best_s(lambda name=name, argument=argument: plain_exports[name](plain, argument))
        metered_s = _best_s(lambda name=name, argument=argument: _call_metered(instance, name, argument))
        report(
            Figure(f"wasm: metered and interruptible, {name}", metered_s / plain_s, "x plain", 3.0, is_less_better=True)
        )
    engine.close()


def _call_metered(instance: Any, name: str, argument: int) -> int:
    instance.set_global(GAS, 10**12)
    instance.set_global(STACK, 32_768)
    return int(instance.call(name, argument))


def _measure_deliveries(report: Callable[[Figure], None]) -> None:
    code = _EXAMPLE.read_bytes()
    engine = WasmtimeEngine(compile_module=ModuleLoader(None, EngineConfig()))
    _start(engine, code)
    started = time.perf_counter()
    session = _start(engine, code)
    report(
        Figure("wasm: a new vat, compiled before", (time.perf_counter() - started) * 1000, "ms", is_less_better=True)
    )
    message = ["message", "o+0", {"methargs": {"body": '#["increment",[]]', "slots": []}, "result": "p-60"}]
    delivery = canonical.dump(message)
    numbers = iter(range(2, 10**9))

    def deliver() -> None:
        for _ in range(DELIVERIES):
            [done] = session.receive(protocol.dump_deliver(next(numbers), 0, delivery))
            assert done.startswith('["done"'), done

    report(
        Figure("wasm: deliveries to a vat in C, two calls of its store", DELIVERIES / _best_s(deliver), "deliveries/s")
    )
    session.close()
    engine.close()


def _start(engine: WasmtimeEngine, code: bytes) -> Any:
    session = make_wasm_session(engine)
    files = {"vat.wasm": base64.b64encode(code).decode()}
    session.receive(protocol.dump_start(protocol.VatSpec("v1", 0, "bench", "seed", "vat.wasm", files)))
    session.receive(protocol.dump_go(0))
    session.receive(protocol.dump_deliver(1, 0, '["startVat",{"body":"#{}","slots":[]}]'))
    return session
