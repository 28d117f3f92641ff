"""mypy knows what a message takes and gives, from the class of its target."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from tests.conftest import ROOT

SAMPLE = ROOT / "tests/testing/typed/purses.py"
CONFIG = """
[mypy]
strict = True
plugins = kernel_py.testing.mypy_plugin
follow_imports = silent
"""


@pytest.mark.native
def test_mypy_says_of_each_line_what_its_comment_says(tmp_path):
    (tmp_path / "mypy.ini").write_text(CONFIG)
    command = [sys.executable, "-m", "mypy", "--config-file", str(tmp_path / "mypy.ini"), "--no-error-summary"]
    cache = ["--cache-dir", str(ROOT / ".cache/mypy-sample"), "--no-pretty", str(SAMPLE)]
    run = subprocess.run([*command, *cache], cwd=ROOT, capture_output=True, text=True, check=False)
    said = dict(re.findall(r"purses\.py:(\d+): (.*?)(?:  \[[a-z-]+\])?$", run.stdout, re.MULTILINE))
    lines = SAMPLE.read_text().splitlines()
    expected = {str(number): line.split("  # ")[1] for number, line in enumerate(lines, 1) if "  # " in line}
    assert {number: _shorten(text) for number, text in said.items()} == expected, run.stdout + run.stderr


def _shorten(text: str) -> str:
    text = re.sub(r'note: Revealed type is "(.*)"', r"\1", text)
    text = re.sub(r"(?:[a-z_]+\.)+(?=[A-Za-z])", "", text)
    return re.sub(r' (?:to|for) "(?:deposit|double)"(?: of "Purse")?', "", text).replace("call to", "call")
