"""Instruments the modules of wasm vats, in a worker of the vat host's (``web/src/host/modules.ts``).

What it gives is kept by the module's digest and that of this package's sources, so it depends on nothing else.
"""

from __future__ import annotations

import base64
from typing import Any

from kernel_py.wasm.interface import IMPORTS
from kernel_py.wasm.limits import DEFAULT_WASM_LIMITS, WasmLimits
from kernel_py.wasm.metering import meter
from kernel_py.wasm.supervisor import decode_module, insist_on_interface
from kernel_py.wire import canonical
from kernel_py.wire.errors import InvalidModule


def instrument(text: str, memory_bytes: int) -> str:  # noqa: ARG001 (JavaScript tells every function)
    """Instrument a module in base64. JSON of `describe_module`."""
    return canonical.dump(describe_module(text, DEFAULT_WASM_LIMITS))


def describe_module(text: str, limits: WasmLimits) -> dict[str, Any]:
    """A module in base64, instrumented, as realms take it (``web/src/wasm/prepared.ts``).

    Returns:
        ``code`` in base64, ``imports`` as a list of module and name, ``hasStart``, and ``problem``: why the module
        cannot be a vat, or None.
    """
    try:
        module = meter(decode_module(text), imports=IMPORTS, limits=limits)
        insist_on_interface(module)
    except InvalidModule as error:
        return {"code": "", "imports": [], "hasStart": False, "problem": str(error)}
    return {
        "code": base64.b64encode(module.code).decode(),
        "imports": [[where, name] for where, name, _ in module.imports],
        "hasStart": module.has_start,
        "problem": None,
    }
