"""docs/behaviours.md names tests that exist."""

from __future__ import annotations

import re

from tests.conftest import ROOT

PAGE = ROOT / "docs" / "behaviours.md"


def test_every_test_that_is_named_exists():
    names = re.findall(r"`([\w/]+\.py)::(\w+)`", PAGE.read_text())
    assert names
    sources = {path.name: path.read_text() for path in sorted((ROOT / "tests").rglob("test_*.py"))}
    missing = [f"{file}::{name}" for file, name in names if f"def {name}(" not in sources.get(file, "")]
    assert missing == []


def test_every_row_says_something():
    rows = [line.strip("|").split("|") for line in PAGE.read_text().splitlines() if line.startswith("| ")]
    assert rows
    assert [row for row in rows if len(row) != 2 or not row[1].strip()] == []
