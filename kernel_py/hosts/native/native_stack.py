"""A native stack that is large enough, whatever thread asks.

A limit inside an engine does not make the stack that it limits: a guest that recurses in a thread with less is the end
of the process. So guests run on a thread whose stack was made for them, unless the caller's is known to be as large.
"""

from __future__ import annotations

import ctypes
import sys
import threading
from collections.abc import Callable
from typing import Any, TypeVar

_T = TypeVar("_T")

STACK_BYTES = 16 * 1_048_576
"""Room for the guest, the engine, and Python's own calls below and above them."""
_STACK_BYTES_ENOUGH = 6 * 1_048_576
"""The main thread has 8 MiB on most systems."""
_ATTRIBUTE_BYTES = 128
"""More than pthread_attr_t has anywhere."""

_known = threading.local()
_starting = threading.Lock()


def call_with_stack(function: Callable[[], _T]) -> _T:
    """Call `function` where there is enough native stack. What it raises is raised here."""
    if has_enough_stack():
        return function()
    results: list[_T] = []
    errors: list[BaseException] = []

    def run() -> None:
        _known.is_enough = True
        try:
            results.append(function())
        except BaseException as error:  # noqa: BLE001 (it is raised again, on the caller's thread)
            errors.append(error)

    thread = threading.Thread(target=run, name="guest")
    with _starting:  # the size is the process's, not the thread's
        before = threading.stack_size(STACK_BYTES)
        try:
            thread.start()
        finally:
            threading.stack_size(before)
    thread.join()
    if errors:
        raise errors[0]
    return results[0]


def has_enough_stack() -> bool:
    """Whether the calling thread's native stack is known to be large enough."""
    known: bool | None = getattr(_known, "is_enough", None)
    if known is None:
        known = _known.is_enough = _find_stack_bytes() >= _STACK_BYTES_ENOUGH
    return known


def _find_stack_bytes() -> int:
    """Size of the calling thread's native stack; 0 if it is not known."""
    if sys.platform != "linux":
        return 0
    libc: Any = ctypes.CDLL(None, use_errno=True)
    attribute = ctypes.create_string_buffer(_ATTRIBUTE_BYTES)
    libc.pthread_self.restype = ctypes.c_void_p
    if libc.pthread_getattr_np(ctypes.c_void_p(libc.pthread_self()), attribute):
        return 0
    address, size = ctypes.c_void_p(), ctypes.c_size_t()
    failed = libc.pthread_attr_getstack(attribute, ctypes.byref(address), ctypes.byref(size))
    libc.pthread_attr_destroy(attribute)
    return 0 if failed else size.value
