"""Heap snapshots as data: what differs from a base image, in chunks that are named by what is in them.

Owns the forms that every machine must agree on. A chunk is a piece of a heap, named by the SHA-256 of its bytes, in
hexadecimal, and kept packed by zlib. The pages of a snapshot say which chunk is at which place:

    place:chunk,place:chunk,...

A place is the number of a piece of memory, all pieces of one base being equally large, or the name of something else
that the heap consists of. Pieces come first, in their order, then names, in theirs: the same heap gives the same text.
Its digest covers that text, the base and the memory's size, so two machines can compare heaps of which each has
only its own.
"""

from __future__ import annotations

import hashlib
import re
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from kernel_py.wire.errors import StoreError

_PAGES = re.compile(r"(?:[0-9a-z]{1,20}:[0-9a-f]{64}(?:,|$))*")
_BASE = re.compile(r"[\w.+\-]{1,200}", re.ASCII)


@dataclass(frozen=True, slots=True)
class HeapImage:
    """A heap as its realm's host hands it over. Made from what a vat's realm says, so nothing in it is believed.

    Attributes:
        base: the image that the realm started from.
        pages: see above.
        chunks: packed bytes by id; those that the store has may be left out. Where others keep the bytes until the
            commit that names them, they are empty here.
    """

    base: str
    memory_bytes: int
    pages: str
    chunks: Mapping[str, bytes]

    @property
    def digest(self) -> str:
        return digest_heap(self.base, self.memory_bytes, self.pages)

    @property
    def is_sound(self) -> bool:
        """Whether it has the form that it must have."""
        is_form = _BASE.fullmatch(self.base) is not None and _PAGES.fullmatch(self.pages) is not None
        return is_form and not self.pages.endswith(",") and self.memory_bytes >= 0


def dump_pages(pages: Iterable[tuple[str, str]]) -> str:
    """The text of pages, given as (place, chunk) in their order."""
    return ",".join([f"{place}:{chunk}" for place, chunk in pages])


def parse_pages(text: str) -> list[tuple[str, str]]:
    """The pages of a sound image, as (place, chunk)."""
    return [(place, chunk) for place, _, chunk in (page.partition(":") for page in text.split(",") if page)]


def list_chunks(pages: str) -> list[str]:
    """The chunks that pages name, each once."""
    return list(dict.fromkeys(chunk for _, chunk in parse_pages(pages)))


def digest_heap(base: str, memory_bytes: int, pages: str) -> str:
    """The number by which heaps are compared."""
    return hashlib.sha256(f"{base}\n{memory_bytes}\n{pages}".encode()).hexdigest()


def pack_chunk(data: bytes) -> tuple[str, bytes]:
    """A chunk's id, and its bytes as they are stored."""
    return hashlib.sha256(data).hexdigest(), zlib.compress(data, 1)


def unpack_chunk(chunk: str, packed: bytes) -> bytes:
    """The bytes of a stored chunk.

    Raises:
        StoreError: they are not those that it is named by.
    """
    try:
        data = zlib.decompress(packed)
    except zlib.error:
        data = None
    if data is None or hashlib.sha256(data).hexdigest() != chunk:
        raise StoreError(f"the chunk {chunk} of a heap is damaged in the store")
    return data
