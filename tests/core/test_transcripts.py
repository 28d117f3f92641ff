"""Transcripts as they are stored: what was changed is found and named."""

from __future__ import annotations

import pytest

from kernel_py.core.transcripts import Chain, annotate_entry, seal_entry
from kernel_py.wire import protocol
from kernel_py.wire.errors import StoreError

ENTRY = '{"n":%d,"t":0,"d":["bringOutYourDead"],"sc":[],"r":null}'


def make_transcript(count: int) -> tuple[list[str], str]:
    chain = ""
    entries = []
    for number in range(1, count + 1):
        mark = ("base", "d1") if number == 3 else None
        sealed, chain = seal_entry(annotate_entry(ENTRY % number, number, {"o+0": "ko20"}, mark), chain)
        entries.append(sealed)
    return entries, chain


def read(entries: list[str], end: str) -> None:
    chain = Chain("v1", 1)
    chain.verify(entries[:2])
    chain.verify(entries[2:])
    chain.end(end)


def test_what_was_written_is_accepted() -> None:
    read(*make_transcript(5))


@pytest.mark.parametrize("number", [1, 2, 3, 5])
def test_any_flipped_byte_is_found_and_named(number: int) -> None:
    entries, end = make_transcript(5)
    whole = entries[number - 1]
    for place in range(len(whole)):
        flipped = chr(ord(whole[place]) ^ 1)
        entries[number - 1] = whole[:place] + flipped + whole[place + 1 :]
        with pytest.raises(StoreError, match=f"entry {number} of the transcript of v1 is damaged"):
            read(entries, end)


def test_an_entry_in_anothers_place_is_found() -> None:
    entries, end = make_transcript(5)
    entries[2], entries[3] = entries[3], entries[2]
    with pytest.raises(StoreError, match="entry 3 "):
        read(entries, end)


def test_an_end_that_is_cut_off_or_anothers_is_found() -> None:
    entries, end = make_transcript(5)
    with pytest.raises(StoreError, match=r"entry 4 .* is not the one that the kernel wrote last"):
        read(entries[:4], end)


def test_reading_begins_after_a_snapshot() -> None:
    entries, end = make_transcript(5)
    _, after = make_transcript(3)
    chain = Chain("v1", 1, 3, after)
    chain.verify(entries[3:])
    chain.end(end)


def test_entries_of_an_earlier_version_have_no_hash() -> None:
    old = [annotate_entry(ENTRY % number, number, {}) for number in (1, 2)]
    sealed, end = seal_entry(annotate_entry(ENTRY % 3, 3, {}), "")
    chain = Chain("v1", 3)
    chain.verify([*old, sealed])
    chain.end(end)
    with pytest.raises(StoreError, match="entry 2 "):
        Chain("v1", 2).verify([*old, sealed])


def test_a_realm_is_told_nothing_of_the_notes() -> None:
    entries, _ = make_transcript(3)
    assert protocol.dump_replay(entries) == f'["replay",[{ENTRY % 1},{ENTRY % 2},{ENTRY % 3}]]'
    assert list(map(protocol.find_mark, entries)) == [None, None, ("base", "d1")]
