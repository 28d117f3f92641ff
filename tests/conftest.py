"""Settings of all unit tests, on CPython and inside Pyodide."""

from __future__ import annotations

import os
from pathlib import Path

import hypothesis
from hypothesis.configuration import set_hypothesis_home_dir

pytest_plugins = ["kernel_py.testing.plugin"]

ROOT = Path(__file__).resolve().parent.parent
PROFILE = os.environ.get("HYPOTHESIS_PROFILE", "repeatable")

# "repeatable": the same examples on every run and machine. "explore": others each time, and more of
# them (HYPOTHESIS_PROFILE=explore); a failure prints how to reproduce it.
_PROFILES = {
    "repeatable": hypothesis.settings(deadline=None, derandomize=True, database=None),
    "explore": hypothesis.settings(deadline=None, max_examples=2_000, print_blob=True),
}


def pytest_configure() -> None:
    set_hypothesis_home_dir(ROOT / ".cache" / "hypothesis")
    for name, settings in _PROFILES.items():
        hypothesis.settings.register_profile(name, settings)
    hypothesis.settings.load_profile(PROFILE)


def pytest_report_header() -> str:
    return f"hypothesis profile: {PROFILE}"
