"""docs/behaviours.md names tests that exist."""

from __future__ import annotations

import re

from tests.conftest import ROOT

PAGE = ROOT / "docs" / "behaviours.md"


def test_every_test_that_is_named_exists():
    names = re.findall(r"`([\w/]+\.py)::(\w+)`", PAGE.read_text())
    assert names
    paths = [path for folder in ("tests", "e2e") for path in sorted((ROOT / folder).rglob("test_*.py"))]
    sources = {path.relative_to(ROOT).as_posix(): path.read_text() for path in paths}
    missing = [f"{file}::{name}" for file, name in names if not is_test(sources, file, name)]
    assert missing == []


def is_test(sources, file, name):
    found = [text for path, text in sources.items() if f"/{path}".endswith(f"/{file}")]
    return any(f"def {name}(" in text for text in found)


def test_every_theme_of_the_suites_is_there():
    text = PAGE.read_text()
    assert [title for title in ("Liveslots", "The kernel", "From ocap-kernel") if f"## {title}" not in text] == []
    kernel = text.partition("## The kernel")[2]
    themes = {line[2:].partition(":")[0].partition(" |")[0] for line in kernel.splitlines() if line.startswith("| ")}
    assert themes >= {
        "abandon-export",
        "gc-kernel",
        "kernel",
        "metering",
        "upgrade",
        "create-vat",
        "terminate",
        "panel",
    }


def test_every_row_says_something():
    rows = [line.strip("|").split("|") for line in PAGE.read_text().splitlines() if line.startswith("| ")]
    assert rows
    assert [row for row in rows if len(row) != 2 or not row[1].strip()] == []
