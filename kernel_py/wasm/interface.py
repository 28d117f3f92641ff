"""What a wasm vat and its host say to each other: names, types and codes. docs/wasm-vats.md is the page for people.

A guest exports

    memory                              its linear memory
    alloc(size) -> pointer              room for `size` bytes that the host writes at once; 0 if there is none
    deliver(pointer, size) -> status    carry out the delivery whose text is there; 0 if it was carried out

and imports what it needs of these, from module ``kernel``. Pointers and sizes are 32 bits, in bytes; each function
gives 64 bits: a size, 0, or a code below zero (`Call`). All texts are UTF-8.

| function                                   | does |
|--------------------------------------------|------|
| ``syscall(ptr, size)``                     | makes the syscall whose JSON text is there; it is acknowledged at once |
| ``store_get(key, size)``                   | the size of the value at a key, which waits for ``take``; or ABSENT |
| ``store_set(key, key_size, value, size)``  | sets a key |
| ``store_delete(key, size)``                | removes a key, if it is there |
| ``store_next_key(prior, size)``            | the size of the next key, which waits for ``take``; or ABSENT |
| ``take(ptr, size)``                        | copies what waits to `ptr`, at most `size` bytes of it; how many |
| ``print(ptr, size)``                       | a line for the log |
| ``fail(ptr, size)``                        | says why ``deliver`` is about to return other than 0 |
"""

from __future__ import annotations

from enum import IntEnum

from kernel_py.wasm.opcodes import I32, I64
from kernel_py.wasm.surroundings import FuncType, Import

INTERFACE_VERSION = 1

MODULE = "kernel"
ALLOC = "alloc"
DELIVER = "deliver"

EXPORTS: dict[str, FuncType] = {
    ALLOC: FuncType((I32,), (I32,)),
    DELIVER: FuncType((I32, I32), (I32,)),
}
"""Functions that a guest must have."""


class Call(IntEnum):
    """What a function of the host answers instead of a size. Anything less than zero is a refusal."""

    OK = 0
    ABSENT = -1
    """There is no such key, or no further one."""
    MALFORMED = -2
    """Not text, or not a syscall."""
    TOO_MUCH = -3
    """Over a limit of one syscall or of one delivery."""
    OUT_OF_BOUNDS = -4
    """The text is not within the guest's memory."""
    FAILED = -5
    """The host failed. The guest is stopped at its next loop or call; the delivery will be tried again."""


_TEXT = Import(FuncType((I32, I32), (I64,)), is_sized=True)

IMPORTS: dict[tuple[str, str], Import] = {
    (MODULE, "syscall"): _TEXT,
    (MODULE, "store_get"): _TEXT,
    (MODULE, "store_set"): Import(FuncType((I32, I32, I32, I32), (I64,)), is_sized=True),
    (MODULE, "store_delete"): _TEXT,
    (MODULE, "store_next_key"): _TEXT,
    (MODULE, "take"): _TEXT,
    (MODULE, "print"): _TEXT,
    (MODULE, "fail"): _TEXT,
}
"""What a guest may import."""
