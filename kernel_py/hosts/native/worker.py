"""One worker process: lines out, lines in, and its end.

Owns the process, its pipes, and the watch over its deliveries. Texts of the kernel-vat protocol are lines of UTF-8.

Invariants:
    * `on_lost` is called at most once, after the last text, and not after `kill`.
    * After `kill`, or `on_lost`, nothing is left of the process or of those it started in its session.
    * The watch is a `GuestClock`, with a run for the hello, each delivery and each look at the heap: what the host
      takes for itself, to take in an answer, does not count. It is the backstop of every kind of process, whatever
      meters it has inside.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections.abc import Callable
from typing import Any, cast

from kernel_py.hosts.native.children import Child, Open
from kernel_py.hosts.native.guest_clock import ClockLimits, GuestClock
from kernel_py.wire.errors import HostFault
from kernel_py.wire.limits import Limits

_EXIT_S_MAX = 1.0
"""From the end of its output to the end of a process that exits by itself."""

_STDERR_CHARS_SHOWN = 1_000
_CHAR_BYTES_MAX = 4
_NS = 1_000_000_000

_ANSWERED = ('["deliver"', '["look"', '["snapshot","take"', '["restore"')
"""How texts begin that are answered within the time; the last two go to realms that have a heap to hand over."""
_ANSWERS = (b'["done"', b'["seen"', b'["hello"', b'["heap"', b'["no heap"')


class WorkerProcess:
    """A running program that speaks the kernel-vat protocol.

    Args:
        on_text: takes each text it sends.
        on_lost: takes the reason for which it is no more.
        answer_s_max: how long the hello after the start, each delivery, and each look at the heap may take.
        now_ns: a monotonic clock.
    """

    def __init__(
        self,
        *,
        on_text: Callable[[str], None],
        on_lost: Callable[[str], None],
        answer_s_max: float,
        limits: Limits,
        now_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._on_text = on_text
        self._on_lost = on_lost
        self._answer_s_max = answer_s_max
        self._clock = GuestClock(now_ns, ClockLimits(budget_ns=int(answer_s_max * _NS)))
        self._run = contextlib.ExitStack()
        self._line_bytes_max = limits.batch_chars_max * _CHAR_BYTES_MAX
        self._line = bytearray()
        self._stderr = b""
        self._child: Child | None = None
        self._input: asyncio.WriteTransport | None = None
        self._transports: list[asyncio.BaseTransport] = []
        self._due = 1  # the hello
        self._watch: asyncio.TimerHandle | None = None
        self._is_over = False

    async def start(self, open_child: Open) -> None:
        """Start it; what goes wrong is told through `on_lost`."""
        loop = asyncio.get_running_loop()
        try:
            self._child = child = await open_child()
        except HostFault as fault:
            self._lose(str(fault))
            return
        # The process may be killed while its pipes are being joined to the loop: then they are closed at the end.
        transport, _ = await loop.connect_write_pipe(asyncio.BaseProtocol, cast("Any", child.stdin))
        self._input = transport
        self._transports.append(transport)
        for pipe_end, protocol in ((child.stderr, _Errors(self)), (child.stdout, _Output(self))):
            if pipe_end is not None:
                reading, _ = await loop.connect_read_pipe(lambda protocol=protocol: protocol, cast("Any", pipe_end))  # type: ignore[misc]
                self._transports.append(reading)
        if self._is_over:
            self._close()
        else:
            self._begin_run()

    @property
    def pid(self) -> int | None:
        return None if self._child is None else self._child.pid

    def post(self, text: str) -> None:
        """Send a text, which may hold several lines. Lost without a sign if the process is gone."""
        if self._is_over or self._input is None:
            return
        answers = sum(line.startswith(_ANSWERED) for line in text.split("\n"))
        if answers:
            self._due += answers
            if self._watch is None:
                self._begin_run()
        self._input.write(text.encode() + b"\n")

    def kill(self) -> None:
        """End it at once. Idempotent."""
        self._is_over = True
        self._end_run()
        self._close()

    # --- the watch ------------------------------------------------------------------------------

    def _begin_run(self) -> None:
        """Watch what is due next, with a full budget; nothing, if nothing is."""
        self._end_run()
        if self._due and not self._is_over:
            self._run.enter_context(self._clock.run())
            self._check()

    def _end_run(self) -> None:
        self._run.close()
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None

    def _check(self) -> None:
        if self._clock.is_exhausted:
            self._lose(f"no answer within {self._answer_s_max:g} s: its process was killed")
        else:
            self._watch = asyncio.get_running_loop().call_later(self._clock.next_check_ns() / _NS, self._check)

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
        if line.startswith(_ANSWERS) and self._due:
            self._due -= 1
            self._begin_run()
        try:
            text = line.decode()
        except UnicodeDecodeError as error:
            text = f"not UTF-8: {error}"  # which the kernel will find to be no text of the protocol either
        if self._due:
            with self._clock.paused():
                self._on_text(text)
        else:
            self._on_text(text)

    def take_errors(self, data: bytes) -> None:
        """Bytes of its standard error; the last of them say why it ended."""
        self._stderr = (self._stderr + data)[-_STDERR_CHARS_SHOWN * _CHAR_BYTES_MAX :]

    # --- the end --------------------------------------------------------------------------------

    async def output_ended(self) -> None:
        """Its standard output was closed: it has ended, is about to, or is of no use any more."""
        if self._is_over:
            return
        assert self._child is not None
        code = await self._child.wait(_EXIT_S_MAX)
        self._lose(self._describe_end(code))

    def _describe_end(self, code: int | None) -> str:
        assert self._child is not None
        match code:
            case None:
                how = "its process closed its output and did not exit"
            case int(code) if code < 0:
                how = f"its process was killed by {_name_signal(-code)}"
            case code:
                how = f"its process exited with code {code}"
        last = (self._stderr.decode(errors="replace").strip() or self._child.complaints())[-_STDERR_CHARS_SHOWN:]
        return f"{how}: {last}" if last else how

    def _lose(self, reason: str) -> None:
        if not self._is_over:
            self.kill()
            self._on_lost(reason)

    def _close(self) -> None:
        child, transports = self._child, self._transports
        self._transports = []
        if child is None:
            return
        child.kill()
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
