"""What TypeScript repeats of the limits and codes is what Python says."""

from __future__ import annotations

import re
from dataclasses import asdict

import pytest

from kernel_py.wasm.interface import Call
from kernel_py.wasm.limits import DEFAULT_WASM_LIMITS
from kernel_py.wire.canonical import DEPTH_MAX
from kernel_py.wire.limits import DEFAULT_LIMITS
from scripts.wat import ROOT

pytestmark = pytest.mark.native  # the sources are not in Pyodide

WEB = ROOT / "web/src/wasm"


def test_the_limits_are_the_same():
    found = re.findall(r"^  (\w+): ([\d_]+),$", (WEB / "limits.ts").read_text(), re.MULTILINE)
    known = asdict(DEFAULT_LIMITS) | asdict(DEFAULT_WASM_LIMITS) | {"DEPTH_MAX": DEPTH_MAX}
    assert len(found) == 9
    assert {name: int(value) for name, value in found} == {name: known[name] for name, _ in found}
    assert f"DEPTH_MAX = {DEPTH_MAX};" in (WEB / "limits.ts").read_text()


def test_the_codes_are_the_same():
    found = re.findall(r"^const ([A-Z_]+) = (-?\d+);$", (WEB / "host_calls.ts").read_text(), re.MULTILINE)
    assert {name: int(value) for name, value in found} == {call.name: call.value for call in Call}
