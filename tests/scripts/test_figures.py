"""Figures of the benchmarks are written and plotted whatever their values."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench.figures import Figure, write

pytestmark = pytest.mark.native


def test_a_figure_of_zero_is_plotted(tmp_path: Path) -> None:
    write([Figure("memory", 0.0, "MB", 50, is_less_better=True), Figure("rate", 3.0, "1/s", 2)], tmp_path)
    assert [figure["value"] for figure in json.loads((tmp_path / "bench.json").read_text())] == [0.0, 3.0]
    assert (tmp_path / "bench.png").stat().st_size > 1_000
