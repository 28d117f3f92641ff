"""One worker process: lines out, lines in, and its end.

Owns the process, its pipes, and the watch over its deliveries. Texts of the kernel-vat protocol are lines of UTF-8.

Invariants:
    * The process inherits three pipes and nothing else: no other file descriptor, no environment but what is given,
      no controlling terminal (so Ctrl-C is the kernel's alone to answer).
    * `on_lost` is called at most once, after the last text, and not after `kill`.
    * After `kill`, or `on_lost`, nothing is left of the process or of those it started in its session.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

from kernel_py.wire.limits import Limits

_EXIT_S_MAX = 1.0
"""From the end of its output to the end of a process that exits by itself."""

_STDERR_CHARS_SHOWN = 1_000
_CHAR_BYTES_MAX = 4


@dataclass(frozen=True, slots=True)
class Program:
    """What to run. `environment` is the whole of it; `folder` is its working directory."""

    arguments: Sequence[str]
    environment: dict[str, str]
    folder: str


class WorkerProcess:
    """A running program that speaks the kernel-vat protocol.

    Args:
        on_text: takes each text it sends.
        on_lost: takes the reason for which it is no more.
        answer_s_max: how long the hello after the start, and each delivery, may take.
    """

    def __init__(
        self, *, on_text: Callable[[str], None], on_lost: Callable[[str], None], answer_s_max: float, limits: Limits
    ) -> None:
        self._on_text = on_text
        self._on_lost = on_lost
        self._answer_s_max = answer_s_max
        self._line_bytes_max = limits.batch_chars_max * _CHAR_BYTES_MAX
        self._line = bytearray()
        self._stderr = b""
        self._process: subprocess.Popen[bytes] | None = None
        self._input: asyncio.WriteTransport | None = None
        self._transports: list[asyncio.BaseTransport] = []
        self._due = 1  # the hello
        self._watch: asyncio.TimerHandle | None = None
        self._is_over = False

    async def start(self, program: Program) -> None:
        """Start it; what goes wrong is told through `on_lost`."""
        loop = asyncio.get_running_loop()
        pipe = subprocess.PIPE
        try:
            self._process = process = subprocess.Popen(  # noqa: ASYNC220 (returns as soon as the program is loaded)
                program.arguments,
                stdin=pipe,
                stdout=pipe,
                stderr=pipe,
                env=program.environment,
                cwd=program.folder,
                bufsize=0,
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            self._lose(f"cannot start {program.arguments[0]}: {error}")
            return
        # The process may be killed while its pipes are being joined to the loop: then they are closed at the end.
        transport, _ = await loop.connect_write_pipe(asyncio.BaseProtocol, cast("Any", process.stdin))
        self._input = transport
        self._transports.append(transport)
        for pipe_end, protocol in ((process.stderr, _Errors(self)), (process.stdout, _Output(self))):
            reading, _ = await loop.connect_read_pipe(lambda protocol=protocol: protocol, cast("Any", pipe_end))  # type: ignore[misc]
            self._transports.append(reading)
        if self._is_over:
            self._close()
        else:
            self._rewatch()

    @property
    def pid(self) -> int | None:
        return None if self._process is None else self._process.pid

    def post(self, text: str) -> None:
        """Send a text, which may hold several lines. Lost without a sign if the process is gone."""
        if self._is_over or self._input is None:
            return
        deliveries = sum(line.startswith('["deliver"') for line in text.split("\n"))
        if deliveries:
            self._due += deliveries
            if self._watch is None:
                self._rewatch()
        self._input.write(text.encode() + b"\n")

    def kill(self) -> None:
        """End it at once. Idempotent."""
        self._is_over = True
        self._stop_watch()
        self._close()

    # --- the watch ------------------------------------------------------------------------------

    def _rewatch(self) -> None:
        self._stop_watch()
        if self._due and not self._is_over:
            self._watch = asyncio.get_running_loop().call_later(self._answer_s_max, self._expire)

    def _stop_watch(self) -> None:
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None

    def _expire(self) -> None:
        self._lose(f"no answer within {self._answer_s_max:g} s: its process was killed")

    # --- output ---------------------------------------------------------------------------------

    def take_output(self, data: bytes) -> None:
        """Bytes of its standard output."""
        *complete, rest = data.split(b"\n")
        for part in complete:
            self._line += part
            line, self._line = bytes(self._line), bytearray()
            self._take_line(line)
        self._line += rest
        if len(self._line) > self._line_bytes_max:
            line, self._line = bytes(self._line), bytearray()
            self._take_line(line)

    def _take_line(self, line: bytes) -> None:
        if self._is_over:  # since the line before
            return
        if line.startswith((b'["done"', b'["hello"')) and self._due:
            self._due -= 1
            self._rewatch()
        try:
            text = line.decode()
        except UnicodeDecodeError as error:
            text = f"not UTF-8: {error}"  # which the kernel will find to be no text of the protocol either
        self._on_text(text)

    def take_errors(self, data: bytes) -> None:
        """Bytes of its standard error; the last of them say why it ended."""
        self._stderr = (self._stderr + data)[-_STDERR_CHARS_SHOWN * _CHAR_BYTES_MAX :]

    # --- the end --------------------------------------------------------------------------------

    async def output_ended(self) -> None:
        """Its standard output was closed: it has ended, is about to, or is of no use any more."""
        if self._is_over:
            return
        assert self._process is not None
        with contextlib.suppress(subprocess.TimeoutExpired):
            await asyncio.to_thread(self._process.wait, _EXIT_S_MAX)
        self._lose(self._describe_end())

    def _describe_end(self) -> str:
        assert self._process is not None
        match self._process.returncode:
            case None:
                how = "its process closed its output and did not exit"
            case int(code) if code < 0:
                how = f"its process was killed by {_name_signal(-code)}"
            case code:
                how = f"its process exited with code {code}"
        last = self._stderr.decode(errors="replace").strip()[-_STDERR_CHARS_SHOWN:]
        return f"{how}: {last}" if last else how

    def _lose(self, reason: str) -> None:
        if not self._is_over:
            self.kill()
            self._on_lost(reason)

    def _close(self) -> None:
        process, transports = self._process, self._transports
        self._transports = []
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.kill()
        process.wait()
        for transport in transports:
            if transport.is_closing():
                continue  # asyncio fails to abort what it has closed itself, when the other end was gone
            if isinstance(transport, asyncio.WriteTransport):
                transport.abort()
            else:
                transport.close()


class _Output(asyncio.Protocol):
    def __init__(self, worker: WorkerProcess) -> None:
        self._worker = worker
        self._ending: asyncio.Task[None] | None = None

    def data_received(self, data: bytes) -> None:
        self._worker.take_output(data)

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self._ending = asyncio.get_running_loop().create_task(self._worker.output_ended())


class _Errors(asyncio.Protocol):
    def __init__(self, worker: WorkerProcess) -> None:
        self._worker = worker

    def data_received(self, data: bytes) -> None:
        self._worker.take_errors(data)


def _name_signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
