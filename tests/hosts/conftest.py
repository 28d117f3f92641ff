"""The vats of these tests collect garbage; what was there before need not be looked at each time."""

from __future__ import annotations

import gc

import pytest


@pytest.fixture(autouse=True, scope="package")
def _frozen_heap():
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()
