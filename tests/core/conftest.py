"""Fixtures of the kernel's tests."""

from __future__ import annotations

import pytest

from tests.core.driver import Driver


@pytest.fixture
def driver() -> Driver:
    return Driver()


@pytest.fixture
def trio() -> Driver:
    """A running cluster of alice, who knows bob as o-50 and carol as o-51; alice is asked to go (`GO`)."""
    trio = Driver()
    trio.launch("alice", "bob", "carol")
    trio.ask("alice")
    return trio
