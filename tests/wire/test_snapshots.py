"""Heap snapshots as data."""

from __future__ import annotations

import zlib

import pytest

from kernel_py.wire.errors import StoreError
from kernel_py.wire.snapshots import (
    HeapImage,
    digest_heap,
    dump_pages,
    list_chunks,
    pack_chunk,
    parse_pages,
    unpack_chunk,
)

ONE, PACKED = pack_chunk(b"one" * 1000)


def test_a_chunk_is_named_by_its_bytes_and_packed() -> None:
    assert ONE == "2fce97fe6ec8811452255c10caff522085966e8688083aa72fe25f89b421413c"
    assert len(PACKED) < 100
    assert unpack_chunk(ONE, PACKED) == b"one" * 1000


def test_a_damaged_chunk_is_found_and_named() -> None:
    for place in range(len(PACKED)):
        damaged = PACKED[:place] + bytes([PACKED[place] ^ 1]) + PACKED[place + 1 :]
        with pytest.raises(StoreError, match=f"the chunk {ONE} of a heap is damaged"):
            unpack_chunk(ONE, damaged)
    with pytest.raises(StoreError, match="damaged"):
        unpack_chunk(ONE, zlib.compress(b"two"))


def test_pages_are_text_and_back() -> None:
    two, _ = pack_chunk(b"two")
    pages = [("0", ONE), ("17", two), ("18", ONE), ("head", two)]
    text = dump_pages(pages)
    assert parse_pages(text) == pages
    assert list_chunks(text) == [ONE, two]
    assert parse_pages(dump_pages([])) == []
    assert HeapImage("pyodide-314.0.7+ab", 0, text, {}).is_sound
    assert HeapImage("b", 0, "", {}).is_sound


def test_the_digest_is_of_base_size_and_pages() -> None:
    # printf 'base\n4096\n0:ab' | sha256sum
    assert digest_heap("base", 4096, "0:ab") == "b3dd7ff08191aa54eae15bfda3824072b15d4d28b57b51527f68c21da07bcedd"
