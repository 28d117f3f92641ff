"""The determinism suite: what a thousand deliveries leave behind, on whatever engine. Native only."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from kernel_py.hosts.native.wasm import make_wasm_session
from kernel_py.hosts.native.wasm_engine import WasmtimeEngine
from kernel_py.wasm.limits import DEFAULT_WASM_LIMITS
from kernel_py.wasm.supervisor import WasmSupervisor
from kernel_py.wire import canonical, protocol
from scripts.wat import ROOT
from tests.vat.driving import TIME_MS, capdata, message

DELIVERIES = 1_000

MODULES = {
    "floats": ROOT / "tests/wasm/modules/floats.wasm",  # by hand
    "counter": ROOT / "examples/wasm/counter_as.wasm",  # AssemblyScript, with a collector
    "store": ROOT / "examples/wasm/counter_c.wasm",  # C, all of its state in the store
}


def make_texts(code: str) -> list[str]:
    """The texts for a module in base64: a start, and deliveries that are as different as they can be."""
    spec = protocol.VatSpec("v1", 0, "tested", "seed", "vat.wasm", {"vat.wasm": code})
    deliveries = [["startVat", capdata({"start": 3})]]
    for number in range(1, DELIVERIES):
        method = ("increment", "read", "make_counter", "explode")[number % 7 % 4] if number > 1 else "make_counter"
        deliveries.append(message(f"o+{number % 3 // 2}", method, number**5 % 1_000_003, result=f"p-{60 + number}"))
    return [
        protocol.dump_start(spec),
        protocol.dump_go(0),
        *(
            protocol.dump_deliver(number, TIME_MS + number, canonical.dump(delivery))
            for number, delivery in enumerate(deliveries, 1)
        ),
    ]


def run_on_wasmtime(texts: list[str]) -> list[dict[str, Any]]:
    """What each text leaves behind, as `DrivenSession` tells it."""
    engine = WasmtimeEngine()
    session = make_wasm_session(engine)
    seen = []
    for text in texts:
        answers = session.receive(text)
        vat = session._supervisor
        assert isinstance(vat, WasmSupervisor)
        instance = vat.instance
        memory = b"" if instance is None else instance.read(0, instance.memory_bytes())
        digest = hashlib.sha256(memory).hexdigest() if memory else ""
        seen.append({"answer": answers[0] if answers else None, "gas": vat.gas_used, "memory": digest})
    session.close()
    engine.close()
    return seen


def check(seen: list[dict[str, Any]]) -> None:
    """That something happened: a suite of which nothing can be seen to differ shows nothing."""
    assert len(seen) == DELIVERIES + 2
    done = [json.loads(each["answer"]) for each in seen[2:]]
    assert all(each[2] == ["ok", None] for each in done), done[0]
    assert all(each["gas"] > 0 for each in seen[2:])
    assert len({each["memory"] for each in seen}) > DELIVERIES * 0.9
    assert DEFAULT_WASM_LIMITS.gas_delivery > max(each["gas"] for each in seen)
