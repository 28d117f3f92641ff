"""A process that has everything loaded, and makes copies of itself: each copy is one vat's realm.

Loading an engine and compiled code takes a good part of a second, and a copy of a process that has done so a
millisecond; what nobody writes to is in memory once. A copy is a process like any other: it has limits of its own, and
ends alone.

    control socket   in:  "fork ID" with two descriptors, the copy's input and output; "kill ID"
                     out: "ready" once; "started ID PID"; "ended ID STATUS", of `os.waitstatus_to_exitcode`

Invariants:
    * The server runs no guest, and nothing that a guest gave: it always answers.
    * A copy has its two pipes and the server's standard error, and no other way to anything of the server's.
    * Every copy ends with the server, and the server with the kernel's process.
    * Only the server ends copies: the number of a process that it has not waited for yet is nobody else's.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import sys
import threading
from collections.abc import Callable
from typing import BinaryIO, NoReturn

from kernel_py.hosts.native.vat_process import die_with
from kernel_py.wire.errors import KernelBug

_MESSAGE_BYTES_MAX = 65_536
_FDS_MAX = 64

Serve = Callable[[BinaryIO, BinaryIO], None]
"""Is a vat's realm until its input ends."""


class _Stop(Exception):
    """The kernel's process is gone."""


class ForkServer:
    """The server's side. `serve` is called in each copy."""

    def __init__(self, control: socket.socket, serve: Serve) -> None:
        self._control = control
        self._serve = serve
        self._text = b""
        self._fds: list[int] = []
        self._pids: dict[bytes, int] = {}
        self._woken, self._wake = os.pipe()
        os.set_blocking(self._wake, False)

    def run(self) -> None:
        """Serve until the kernel's process closes the socket."""
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._wake, warn_on_full_buffer=False)
        self._say(b"ready")
        with contextlib.suppress(_Stop):
            while True:
                readable, _, _ = select.select([self._control.fileno(), self._woken], [], [])
                if self._woken in readable:
                    os.read(self._woken, _MESSAGE_BYTES_MAX)
                    self._reap()
                if self._control.fileno() in readable:
                    self._receive()

    def _receive(self) -> None:
        data, fds, _, _ = socket.recv_fds(self._control, _MESSAGE_BYTES_MAX, _FDS_MAX)
        if not data:
            raise _Stop
        self._fds += fds
        *lines, self._text = (self._text + data).split(b"\n")
        for line in lines:
            match line.split(b" "):
                case [b"fork", name]:
                    source, sink = self._fds.pop(0), self._fds.pop(0)
                    self._fork(name, source, sink)
                case [b"kill", name] if name in self._pids:
                    os.kill(self._pids[name], signal.SIGKILL)
                case _:
                    pass  # it has ended already

    def _fork(self, name: bytes, source: int, sink: int) -> None:
        parent = os.getpid()
        pid = os.fork()
        if not pid:
            self._be_copy(parent, source, sink)
        os.close(source)
        os.close(sink)
        self._pids[name] = pid
        self._say(b"started %b %d" % (name, pid))

    def _be_copy(self, parent: int, source: int, sink: int) -> NoReturn:
        status = 1
        try:
            die_with(parent)
            os.setsid()
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            for fd in (self._control.fileno(), self._woken, self._wake, *self._fds):
                os.close(fd)
            self._serve(os.fdopen(source, "rb"), os.fdopen(sink, "wb"))
            status = 0
        except BaseException as error:  # noqa: BLE001 (a copy must not go on as the server)
            with contextlib.suppress(Exception):
                sys.stderr.write(f"{type(error).__name__}: {error}\n")
                sys.stderr.flush()
        finally:
            os._exit(status)

    def _reap(self) -> None:
        for name, pid in list(self._pids.items()):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                del self._pids[name]
                self._say(b"ended %b %d" % (name, os.waitstatus_to_exitcode(status)))

    def _say(self, text: bytes) -> None:
        try:
            self._control.sendall(text + b"\n")
        except OSError as error:
            raise _Stop from error


def main(serve: Serve, parent: int, control_fd: int) -> None:
    """Be the server.

    Args:
        parent: the kernel's process.
    """
    die_with(parent)
    if threading.active_count() > 1:
        raise KernelBug("a process with several threads cannot be copied")
    with socket.socket(fileno=control_fd) as control:
        ForkServer(control, serve).run()
