"""Pages that a copy of this process will touch first, made its own before it is needed.

A copy shares all memory with its original until it writes; each first write to a page is a fault, which costs more than
copying the page. Which pages a vat writes to first is much the same for every vat. So a scout, a copy that works as a
vat does and then is gone, finds them out, and every later copy gets them in a few calls, while nobody waits for it.

Only a matter of speed, and of Linux: where a page cannot be had so, it is had by its fault.
"""

from __future__ import annotations

import array
import ctypes
import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_POPULATE_READ, _POPULATE_WRITE = 22, 23
_PRESENT, _FILE, _EXCLUSIVE = 1 << 63, 1 << 61, 1 << 56
_GAP_PAGES_MAX = 2
"""Pages in between that are taken along: a call costs as much as they do."""

Ranges = list[tuple[int, int, int]]
"""Advice, address and length of what to touch."""


def scout(work: Callable[[], object]) -> Ranges:
    """What a copy of this process touches that does `work`. It must have no threads."""
    if sys.platform != "linux":
        return []
    reading, writing = os.pipe()
    before = list(_find_mappings())
    pid = os.fork()
    if not pid:
        try:
            os.close(reading)
            work()
            with os.fdopen(writing, "w") as sink:
                json.dump(list(_find_touched(before)), sink)
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as source:
        text = source.read()
    os.waitpid(pid, 0)
    return [(advice, address, size) for advice, address, size in json.loads(text or "[]")]


def touch(ranges: Ranges) -> None:
    """Have those pages, in a copy."""
    if not ranges:
        return
    madvise = ctypes.CDLL(None).madvise
    madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    for advice, address, size in ranges:
        madvise(address, size, advice)


def _find_mappings() -> Iterator[tuple[int, int, bool]]:
    """Start, end, and whether it can be written to, of each private mapping of this process."""
    for line in Path("/proc/self/maps").read_text().splitlines():
        where, rights, *_, name = [*line.split(maxsplit=5), ""][:6]
        if rights.startswith("r") and rights.endswith("p") and not name.startswith("["):
            start, _, end = where.partition("-")
            yield int(start, 16), int(end, 16), "w" in rights


def _find_touched(mappings: list[tuple[int, int, bool]]) -> Iterator[tuple[int, int, int]]:
    with open("/proc/self/pagemap", "rb", buffering=0) as pagemap:  # noqa: PTH123 (not a file to be buffered)
        for start, end, is_writable in mappings:
            entries = array.array("Q")
            pagemap.seek(start // _PAGE_BYTES * entries.itemsize)
            entries.frombytes(pagemap.read((end - start) // _PAGE_BYTES * entries.itemsize))
            wanted = _PRESENT | _EXCLUSIVE if is_writable else _PRESENT | _FILE
            mask = _PRESENT | _EXCLUSIVE | _FILE if is_writable else wanted
            pages = [index for index, entry in enumerate(entries) if entry & mask == wanted]
            advice = _POPULATE_WRITE if is_writable else _POPULATE_READ
            for first, last in _merge(pages):
                yield advice, start + first * _PAGE_BYTES, (last - first + 1) * _PAGE_BYTES


def _merge(pages: list[int]) -> Iterator[tuple[int, int]]:
    """Runs of pages, with small gaps filled."""
    first = last = -1
    for page in pages:
        if first >= 0 and page - last > _GAP_PAGES_MAX + 1:
            yield first, last
            first = -1
        if first < 0:
            first = page
        last = page
    if first >= 0:
        yield first, last
