"""The pytest plugin: the fixture `vats`. Installed with the package; else ``-p kernel_py.testing.plugin``."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from kernel_py.testing.vats import Vats


@pytest.fixture
def vats() -> Iterator[Vats]:
    """A kernel with no vats yet. What they printed is shown if the test fails."""
    with Vats() as fresh:
        yield fresh
        show_console(fresh)


def show_console(vats: Vats) -> None:
    """Print what vats have printed, for pytest to show below a failure."""
    for name, line in vats.events_of("Console"):
        print(f"{name}: {line}")  # noqa: T201
