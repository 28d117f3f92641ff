"""Tests of the vat side collect garbage often; what was there before them need not be looked at each time."""

from __future__ import annotations

import gc

import pytest
from hypothesis import given
from hypothesis import strategies as st


@given(st.none())
def _warm_up(_):
    """Let hypothesis register its source of randomness, which it looks for among what the collector sees."""


@pytest.fixture(autouse=True, scope="package")
def _frozen_heap():
    _warm_up()
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()
