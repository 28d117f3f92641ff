"""Runs the tests in web/test, which are TypeScript for Node's own test runner."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.native

ROOT = Path(__file__).resolve().parents[2]
TIMEOUT_S = 60
FILES = sorted((ROOT / "web/test").glob("*.test.ts"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_typescript(file: Path, tmp_path: Path) -> None:
    bundle = tmp_path / file.with_suffix(".mjs").name
    rolldown = [ROOT / "node_modules/.bin/rolldown", file, "--format", "esm", "--platform", "node", "-o", bundle]
    subprocess.run(rolldown, check=True, capture_output=True, cwd=ROOT)
    environment = {name: value for name, value in os.environ.items() if name != "NODE_OPTIONS"}
    run = subprocess.run(
        ["node", "--test", bundle], capture_output=True, text=True, check=False, env=environment, timeout=TIMEOUT_S
    )
    assert run.returncode == 0, run.stdout + run.stderr
