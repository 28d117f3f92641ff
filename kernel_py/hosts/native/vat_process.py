"""One vat in a process of its own: the program of a worker process.

Owns the session and the two pipes to the kernel's process: texts come as lines on standard input, and go as lines to
standard output. Anything else that is written to standard output, or read from standard input, finds nothing there.

The process is the vat's alone, so its modules get one vat's clock and entropy (`kernel_py.vat.determinism`), and its
hash seed is 0. That makes replay exact; it confines nothing, since plain CPython cannot.
"""

from __future__ import annotations

import ctypes
import gc
import os
import resource
import signal
import sys
from typing import BinaryIO

from kernel_py.vat.determinism import install_determinism
from kernel_py.vat.session import VatSession

_PR_SET_PDEATHSIG = 1
_KIB = 1024


def main(parent: int) -> None:
    """Be a vat until standard input ends.

    Args:
        parent: the kernel's process; without it nobody would end a vat that hangs.
    """
    die_with(parent)
    source, sink = _take_pipes()
    session = VatSession(ambient=install_determinism(), memory_bytes=_memory_bytes)
    gc.collect()
    gc.freeze()  # so that bringOutYourDead looks at what the vat has made, and at nothing else
    _say(sink, session.hello())
    for line in source:
        for text in session.receive(line.decode().removesuffix("\n")):
            _say(sink, text)


def die_with(parent: int) -> None:
    """Have this process killed when its parent ends, even if it never reads its input again. Linux only."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it ended before the request
        os._exit(1)


def _take_pipes() -> tuple[BinaryIO, BinaryIO]:
    """The pipes to the kernel; standard input and output are /dev/null from here on."""
    source, sink = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0, inheritable=False)
    os.dup2(null, 1, inheritable=False)
    os.close(null)
    return source, sink


def _say(sink: BinaryIO, text: str) -> None:
    sink.write(text.encode() + b"\n")
    sink.flush()


def _memory_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else _KIB)
