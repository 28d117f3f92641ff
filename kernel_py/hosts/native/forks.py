"""The kernel's side of a fork server: starts it when it is first needed, and asks it for copies of itself.

What a copy says arrives through its own pipe; what the server says of it, that it runs and how it ended, through the
server's socket. A server that ends takes its copies with it, and is started anew for the next one.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import socket
import subprocess
from collections import deque
from collections.abc import Callable, Sequence
from typing import BinaryIO

from kernel_py.hosts.native.children import Child
from kernel_py.hosts.native.worker_limits import make_command, make_environment
from kernel_py.wire.errors import HostFault

SPARES_MAX = 4
"""Copies that are ready before they are asked for."""
READY_S_MAX = 60.0
"""From its start until a server is ready to be copied."""
_STDERR_BYTES_KEPT = 4_000
_READ_BYTES = 65_536


class Forks:
    """Copies of one program. Use it in one event loop, and close it there.

    Args:
        module: of the server's program, which takes `arguments`, the number of this process, and a descriptor.
    """

    def __init__(self, module: str, arguments: Callable[[], Sequence[str]]) -> None:
        self._module = module
        self._arguments = arguments
        self._server: _Server | None = None
        self._starting = asyncio.Lock()

    async def fork(self) -> Child:
        """A new copy.

        Raises:
            HostFault: the server does not start, or has just ended.
        """
        async with self._starting:
            if self._server is None or self._server.is_over:
                self.close()
                self._server = _Server(self._module, self._arguments())
                await self._server.ready()
        return await self._server.take()

    def close(self) -> None:
        """End the server, and with it its copies. Idempotent."""
        if self._server is not None:
            self._server.close()
            self._server = None


class _Server:
    """One server process."""

    def __init__(self, module: str, arguments: Sequence[str]) -> None:
        self._loop = asyncio.get_running_loop()
        self._control, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [*make_command(module), *arguments, str(os.getpid()), str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                env=make_environment(),
                cwd="/",
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        self.is_over = False
        self.stderr = b""
        self._text = b""
        self._names = itertools.count(1)
        self._copies: dict[bytes, _Copy] = {}
        self._spares: deque[_Copy] = deque()
        self._ready: asyncio.Future[None] = self._loop.create_future()
        self._control.setblocking(False)  # noqa: FBT003 (its only form)
        self._errors = self._process.stderr
        assert self._errors is not None
        os.set_blocking(self._errors.fileno(), False)
        self._loop.add_reader(self._control, self._read)
        self._loop.add_reader(self._errors, self._read_errors)

    async def ready(self) -> None:
        try:
            await asyncio.wait_for(asyncio.shield(self._ready), READY_S_MAX)
        except TimeoutError:
            self.close()
            raise HostFault(f"a server of vats was not ready within {READY_S_MAX:g} s") from None

    async def take(self) -> Child:
        """A copy that is ready, or will be soon."""
        while True:
            copy = self._spares.popleft() if self._spares else self._fork()
            while len(self._spares) < SPARES_MAX and not self.is_over:
                self._spares.append(self._fork())
            await copy.started
            if not copy.has_ended:
                return copy

    def _fork(self) -> _Copy:
        """Ask for a copy."""
        if self.is_over:
            raise HostFault(self._describe_end())
        name = b"%d" % next(self._names)
        (their_input, ours_in), (ours_out, their_output) = os.pipe(), os.pipe()
        copy = self._copies[name] = _Copy(self, name, os.fdopen(ours_in, "wb", 0), os.fdopen(ours_out, "rb", 0))
        try:
            socket.send_fds(self._control, [b"fork %b\n" % name], [their_input, their_output])
        except OSError as error:
            copy.abandon()
            raise HostFault(f"a server of vats takes no request: {error}") from error
        finally:
            os.close(their_input)
            os.close(their_output)
        return copy

    def say(self, text: bytes) -> None:
        """Tell it something that it must not miss; if it is gone, so are its copies."""
        with contextlib.suppress(OSError):
            self._control.send(text + b"\n")

    def _read(self) -> None:
        try:
            data = self._control.recv(_READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.close()
            return
        *lines, self._text = (self._text + data).split(b"\n")
        for line in lines:
            match line.split(b" "):
                case [b"ready"]:
                    self._ready.set_result(None)
                case [b"started", name, pid] if name in self._copies:
                    self._copies[name].begin(int(pid))
                case [b"ended", name, status] if name in self._copies:
                    self._copies.pop(name).end(int(status))
                case _:
                    pass

    def _read_errors(self) -> None:
        assert self._errors is not None
        data = self._errors.read(_READ_BYTES)
        if data == b"":
            self._loop.remove_reader(self._errors)
        self.stderr = (self.stderr + (data or b""))[-_STDERR_BYTES_KEPT:]

    def close(self) -> None:
        """End it. Idempotent."""
        if self.is_over:
            return
        self.is_over = True
        self._loop.remove_reader(self._control)
        self._control.close()
        self._process.kill()
        self._process.wait()
        assert self._errors is not None
        self._read_errors()
        self._loop.remove_reader(self._errors)
        self._errors.close()
        fault = HostFault(self._describe_end())
        if not self._ready.done():
            self._ready.set_exception(fault)
            self._ready.exception()  # whoever waits is told; nobody may
        for copy in self._copies.values():
            copy.fail(fault)
        self._copies.clear()
        for spare in self._spares:
            spare.abandon()
        self._spares.clear()

    def _describe_end(self) -> str:
        said = self.stderr.decode(errors="replace").strip()
        return f"a server of vats ended: {said}" if said else "a server of vats ended"


class _Copy:
    """A copy, as `kernel_py.hosts.native.children.Child`."""

    stderr: BinaryIO | None = None

    def __init__(self, server: _Server, name: bytes, stdin: BinaryIO, stdout: BinaryIO) -> None:
        self._server = server
        self._name = name
        self.pid = 0
        self.stdin = stdin
        self.stdout = stdout
        loop = asyncio.get_running_loop()
        self.started: asyncio.Future[None] = loop.create_future()
        self._ended: asyncio.Future[int | None] = loop.create_future()

    @property
    def has_ended(self) -> bool:
        return self._ended.done()

    def begin(self, pid: int) -> None:
        self.pid = pid
        if not self.started.done():
            self.started.set_result(None)

    def end(self, status: int | None) -> None:
        if not self._ended.done():
            self._ended.set_result(status)

    def fail(self, fault: HostFault) -> None:
        """The server ended, and with it this."""
        if self.started.done():
            self.end(None)
        else:
            self.abandon()
            self.started.set_exception(fault)
            self.started.exception()  # whoever waits is told; nobody may

    def abandon(self) -> None:
        """It never came to be."""
        self.stdin.close()
        self.stdout.close()
        self.end(None)

    def kill(self) -> None:
        if not self._ended.done():
            self._server.say(b"kill %b" % self._name)

    async def wait(self, timeout_s: float) -> int | None:
        await asyncio.wait([self._ended], timeout=timeout_s)
        return self._ended.result() if self._ended.done() else None

    def complaints(self) -> str:
        return self._server.stderr.decode(errors="replace").strip()
