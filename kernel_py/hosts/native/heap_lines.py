"""Heaps on the pipe of a worker process: lines beside the texts of the kernel-vat protocol.

Owns their form. In answer to ["snapshot", "take" | "check"] come

    ["piece", place, base64]...  then  ["heap", mode, delivered, base, memory_bytes]
    ["no heap", reason]

and a heap is restored by

    ["piece", place, base64]...  then  ["restore", memory_bytes]        which is answered by a hello

Nothing in them is believed: chunks are named by what is in them, here, and digests that are compared are computed
here.
"""

from __future__ import annotations

import base64
import binascii
from typing import Protocol

from kernel_py.wire import canonical
from kernel_py.wire.errors import KernelError
from kernel_py.wire.limits import Limits
from kernel_py.wire.snapshots import HeapImage, dump_pages, pack_chunk

HEAP = '["heap",'
"""How the line begins that ends a heap."""

_PIECE = '["piece",'
_NO_HEAP = '["no heap",'


class Listener(Protocol):
    """What hears of heaps, and of texts that are none: the kernel's host."""

    def vat_text(self, vat: str, text: str) -> None: ...

    def heap_imaged(self, vat: str, image: HeapImage) -> None: ...

    def heap_not_imaged(self, vat: str, reason: str) -> None: ...


class HeapLines:
    """The lines of one realm. A line that is malformed goes to the kernel, which knows what to do with such vats."""

    def __init__(self, vat: str, listener: Listener, limits: Limits) -> None:
        self._vat = vat
        self._listener = listener
        self._bytes_max = limits.heap_difference_bytes_max
        self._pages: list[tuple[str, str]] = []
        self._chunks: dict[str, bytes] = {}
        self._bytes = 0

    def take(self, line: str) -> None:
        """Take one line of the realm's output."""
        if not line.startswith((_PIECE, HEAP, _NO_HEAP)):
            self._listener.vat_text(self._vat, line)
            return
        try:
            message = canonical.load(line)
        except (ValueError, RecursionError, KernelError):
            message = None
        match message:
            case ["piece", str(place), str(data)] if self._take_piece(place, data):
                pass
            case ["heap", "take" | "check" as mode, int(delivered), str(base), int(memory_bytes)]:
                self._take_heap(mode, delivered, base, memory_bytes)
            case ["no heap", str(reason)]:
                self._listener.heap_not_imaged(self._vat, reason)
            case _:
                self._listener.vat_text(self._vat, line)

    def _take_piece(self, place: str, data: str) -> bool:
        try:
            piece = base64.b64decode(data, validate=True)
        except (binascii.Error, ValueError):
            return False
        self._bytes += len(piece)
        if self._bytes <= self._bytes_max:
            chunk, packed = pack_chunk(piece)
            self._chunks[chunk] = packed
            self._pages.append((place, chunk))
        return True

    def _take_heap(self, mode: str, delivered: int, base: str, memory_bytes: int) -> None:
        image = HeapImage(base, memory_bytes, dump_pages(self._pages), self._chunks)
        size = self._bytes
        self._pages, self._chunks, self._bytes = [], {}, 0
        if size > self._bytes_max:
            reason = f"{size:,} bytes of its heap differ from its image; the limit is {self._bytes_max:,}"
            self._listener.heap_not_imaged(self._vat, reason)
        elif mode == "check":
            self._listener.vat_text(self._vat, canonical.dump(["digest", delivered, image.digest]))
        else:
            self._listener.heap_imaged(self._vat, image)


def dump_piece(place: str, data: bytes) -> str:
    """A piece of a heap that is to be restored."""
    return canonical.dump(["piece", place, base64.b64encode(data).decode()])


def dump_restore(memory_bytes: int) -> str:
    """The end of a heap that is to be restored, told its pieces."""
    return canonical.dump(["restore", memory_bytes])
