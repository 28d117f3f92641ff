"""Settings of all unit tests, on CPython and inside Pyodide."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import hypothesis
import pytest
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


# Tests that do very much say at the end how much it was.

Tally = Callable[[str, Counter[str]], None]

_TALLIES = pytest.StashKey[list[str]]()


@pytest.fixture
def tally(request: pytest.FixtureRequest) -> Tally:
    """Called with a name and counts, which are shown when all tests have run."""
    lines = request.config.stash.setdefault(_TALLIES, [])
    return lambda name, counts: lines.append(f"{name}: " + ", ".join(f"{n:,} {what}" for what, n in counts.items()))


@pytest.fixture
def soak_seed() -> int:
    """What a soak test draws everything from: $SOAK_SEED, which `make soak` changes from round to round."""
    return int(os.environ.get("SOAK_SEED", "0"))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    for line in config.stash.get(_TALLIES, []):
        terminalreporter.write_line(line)
