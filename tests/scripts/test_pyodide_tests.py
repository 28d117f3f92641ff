"""The runner of unit tests inside Pyodide: its exit code is pytest's."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.native


@pytest.fixture
def run_in_pyodide():
    # Inside the repository, since only that is mounted.
    cache = ROOT / ".cache"
    cache.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as folder:

        def run(source: str) -> subprocess.CompletedProcess[str]:
            path = Path(folder) / "test_it.py"
            path.write_text(source)
            command = ["node", "scripts/pyodide_tests.mjs", str(path)]
            return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

        yield run


def test_a_failing_test_turns_the_run_red(run_in_pyodide):
    source = "import sys\ndef test_where():\n    assert sys.platform == 'linux'\ndef test_fine():\n    pass\n"
    done = run_in_pyodide(source)
    assert done.returncode == pytest.ExitCode.TESTS_FAILED, done.stdout + done.stderr
    assert "AssertionError: assert 'emscripten' == 'linux'" in done.stdout
    assert "1 failed, 1 passed in" in done.stdout


def test_passing_tests_turn_it_green(run_in_pyodide):
    done = run_in_pyodide("def test_fine():\n    pass\n")
    assert done.returncode == pytest.ExitCode.OK, done.stdout + done.stderr


def test_no_tests_at_all_turn_it_red(run_in_pyodide):
    assert run_in_pyodide("").returncode == pytest.ExitCode.NO_TESTS_COLLECTED


def test_a_pyodide_that_breaks_turns_it_red(run_in_pyodide):
    done = run_in_pyodide("import os\ndef test_abort():\n    os.abort()\n")
    assert done.returncode not in set(pytest.ExitCode), done.stdout + done.stderr
    assert "Pyodide ended in" in done.stderr
    assert "test_it.py::test_abort" in done.stderr
