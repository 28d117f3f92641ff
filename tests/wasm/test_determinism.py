"""Memory, gas and batch are the same after each of a thousand deliveries, on wasmtime and in Node.

``e2e/test_wasm_determinism.py`` has the same for Chromium.
"""

from __future__ import annotations

import base64

import pytest

from kernel_py.wasm.limits import DEFAULT_WASM_LIMITS
from kernel_py.wire.limits import DEFAULT_LIMITS
from tests.wasm.determinism import MODULES, check, make_texts, run_on_wasmtime
from tests.wasm.node_engine import NodeEngine

pytestmark = pytest.mark.native


@pytest.fixture(scope="module")
def node(tmp_path_factory):
    engine = NodeEngine(tmp_path_factory.mktemp("node"))
    yield engine
    engine.close()


@pytest.mark.parametrize("name", MODULES)
def test_a_thousand_deliveries_leave_the_same_behind_in_node(node, name):
    texts = make_texts(base64.b64encode(MODULES[name].read_bytes()).decode())
    seen = run_on_wasmtime(texts)
    check(seen)
    session = node.open_session(DEFAULT_LIMITS, DEFAULT_WASM_LIMITS)
    assert [session.tell(text) for text in texts] == seen


def test_nothing_depends_on_the_process():
    texts = make_texts(base64.b64encode(MODULES["floats"].read_bytes()).decode())[:100]
    assert run_on_wasmtime(texts) == run_on_wasmtime(texts)
