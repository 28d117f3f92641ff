"""Memory, gas and batch are the same after each of a thousand deliveries, on wasmtime and in Chromium."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from e2e.harness.browser import ExtensionBrowser
from kernel_py.wasm.limits import DEFAULT_WASM_LIMITS
from kernel_py.wire.limits import DEFAULT_LIMITS
from tests.wasm.determinism import MODULES, check, make_texts, run_on_wasmtime
from tests.wasm.node_engine import bundle, dump_input, dump_limits


@pytest.mark.parametrize("name", MODULES)
def test_a_thousand_deliveries_leave_the_same_behind_in_chromium(
    browser_with_extension: ExtensionBrowser, name: str, tmp_path: Path
) -> None:
    texts = make_texts(base64.b64encode(MODULES[name].read_bytes()).decode())
    page = browser_with_extension.open_page()
    page.evaluate(bundle("driven_session.ts", tmp_path, for_page=True).read_text())
    lines = page.evaluate(
        """async ([limits, inputs]) => {
          const session = new DrivenSession(limits);
          const lines = [];
          for (const input of inputs) lines.push(await session.receive(input));
          return lines;
        }""",
        [dump_limits(DEFAULT_LIMITS, DEFAULT_WASM_LIMITS), [dump_input(text, DEFAULT_WASM_LIMITS) for text in texts]],
    )
    seen = [json.loads(line) for line in lines]
    check(seen)
    assert seen == run_on_wasmtime(texts)
