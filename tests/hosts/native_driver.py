"""A native kernel for tests: clusters of the conforming vat, in worker processes of each kind."""

from __future__ import annotations

import asyncio
import base64
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("resource", reason="it is not in Pyodide")
from kernel_py.hosts.native.native_host import NativeKernel

VATS = Path(__file__).parent / "vats"
FILES = {
    "conforming.py": (VATS / "conforming.py").read_text(),
    "conforming.wasm": base64.b64encode((VATS / "conforming.wasm").read_bytes()).decode(),
}

TEST_S_MAX = 600
"""A test that hangs ends; the first with a confined vat may have to build what it runs in."""

PYTHON: dict[str, Any] = {"source": "conforming.py"}
CONFINED: dict[str, Any] = {"source": "conforming.py", "kind": "confined"}
WASM: dict[str, Any] = {"source": "conforming.wasm", "kind": "wasm"}
NODE: dict[str, Any] = {"kind": "command", "command": ["node", str(VATS / "conforming.mjs")]}


def run_native(test: Any) -> None:
    """Run a coroutine in a real event loop."""

    async def main() -> None:
        async with asyncio.timeout(TEST_S_MAX):
            await test

    asyncio.run(main())


def open_kernel(tmp_path: Path, **options: Any) -> NativeKernel:
    """A kernel that runs what is not confined, and Python vats so unless they say otherwise."""
    return NativeKernel.open(tmp_path / "store.db", **{"commands_allowed": True, "unconfined": True, **options})


async def launch(kernel: NativeKernel, files: dict[str, str] = FILES, **vats: dict[str, Any]) -> dict[str, str]:
    """Launch a cluster; the krefs of its roots by name."""
    config = {"bootstrap": next(iter(vats)), "vats": vats}
    await kernel.request("launch", {"config": config, "files": files})
    status = await kernel.request("status")
    return {vat["name"]: vat["root"] for vat in status["vats"]}


async def send(kernel: NativeKernel, target: str, method: str, args: str = "") -> str:
    """The settled value as Python text; a rejection's too."""
    settled = await kernel.request("send", {"target": target, "method": method, "args": args})
    return str(settled["value"])
