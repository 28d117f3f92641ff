"""Tests of the vat side collect garbage often; what was there before them need not be looked at each time."""

from __future__ import annotations

import gc

import pytest


@pytest.fixture(autouse=True, scope="package")
def _frozen_heap():
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()
