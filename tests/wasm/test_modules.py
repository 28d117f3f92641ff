"""The binaries in the repository are those of the texts beside them."""

from __future__ import annotations

import hashlib

import pytest

from scripts.assemblyscript import compile_source, find_sources
from scripts.wat import ROOT, find_texts, translate

pytestmark = pytest.mark.native


@pytest.mark.parametrize("path", list(find_texts()), ids=lambda path: str(path.relative_to(ROOT)))
def test_the_binary_is_that_of_the_text(path):
    assert path.with_suffix(".wasm").read_bytes() == translate(path), "stale: python -m scripts.wat"


@pytest.mark.parametrize("path", find_sources(), ids=lambda path: str(path.relative_to(ROOT)))
def test_the_binary_is_that_of_the_source_in_assemblyscript(path):
    assert path.with_suffix(".wasm").read_bytes() == compile_source(path), "stale: python -m scripts.assemblyscript"


DIGESTS = [line.split() for line in (ROOT / "scripts" / "guests.sha256").read_text().splitlines()]


@pytest.mark.parametrize("digest, path", DIGESTS, ids=[path for _, path in DIGESTS])
def test_sources_and_binaries_in_c_belong_together(digest, path):
    assert hashlib.sha256((ROOT / path).read_bytes()).hexdigest() == digest, "stale: scripts/guests.sh"
