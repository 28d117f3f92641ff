"""The browser's side of wasm vats (``web/src/wasm``), run in Node: the same code, the same engine as in Chromium."""

from __future__ import annotations

import dataclasses
import json
import subprocess
from functools import lru_cache
from pathlib import Path
from typing import Any

from kernel_py.hosts.browser.modules import describe_module
from kernel_py.wasm.limits import WasmLimits
from kernel_py.wire.limits import Limits

ROOT = Path(__file__).resolve().parents[2]


def bundle(entry: str, folder: Path, *, for_page: bool = False) -> Path:
    """One script of a program in web/test and all that it imports."""
    out = folder / Path(entry).with_suffix(".mjs").name
    command = [ROOT / "node_modules/.bin/rolldown", ROOT / "web/test" / entry, "-o", out]
    target = ["--format", "iife", "--platform", "browser"] if for_page else ["--format", "esm", "--platform", "node"]
    subprocess.run([*command, *target], check=True, capture_output=True, cwd=ROOT)
    return out


def dump_limits(limits: Limits, wasm_limits: WasmLimits) -> str:
    return json.dumps(dataclasses.asdict(limits) | dataclasses.asdict(wasm_limits))


def dump_input(text: str, wasm_limits: WasmLimits) -> str:
    """A text as `DrivenSession` takes it, with the instrumented module that it will ask for."""
    prepared = None
    if text.startswith(('["start",', '["upgrade",')):
        spec = json.loads(text)[1]
        prepared = _prepare(spec["files"][spec["main"]], wasm_limits)
    return json.dumps({"text": text, "prepared": prepared})


@lru_cache(maxsize=20)
def _prepare(text: str, wasm_limits: WasmLimits) -> dict[str, Any]:
    return describe_module(text, wasm_limits)


class NodeEngine:
    """Opens sessions, each in a process of its own."""

    def __init__(self, folder: Path) -> None:
        self._program = bundle("driven_session_node.ts", folder)
        self._sessions: list[NodeSession] = []

    def open_session(self, limits: Limits, wasm_limits: WasmLimits) -> NodeSession:
        self._sessions.append(NodeSession(self._program, limits, wasm_limits))
        return self._sessions[-1]

    def close(self) -> None:
        for session in self._sessions:
            session.close()


class NodeSession:
    """As `kernel_py.vat.session.VatSession`."""

    def __init__(self, program: Path, limits: Limits, wasm_limits: WasmLimits) -> None:
        self._wasm_limits = wasm_limits
        self._process = subprocess.Popen(
            ["node", program, dump_limits(limits, wasm_limits)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def hello(self) -> str:
        [hello] = self.receive("")
        return hello

    def receive(self, text: str) -> list[str]:
        said = self.tell(text)
        if "lost" in said:
            return [json.dumps(["failed", said["lost"]])]
        return [] if said["answer"] is None else [said["answer"]]

    def tell(self, text: str) -> dict[str, Any]:
        """The answer, what the vat has used, and a digest of its memory; or "lost" and why."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(dump_input(text, self._wasm_limits) + "\n")
        self._process.stdin.flush()
        said: dict[str, Any] = json.loads(self._process.stdout.readline())
        return said

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
