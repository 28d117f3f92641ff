"""Child processes as their worker sees them: two or three pipes, a number, and an end.

A `Child` is either a program that was started (`start_program`) or a copy of a process that has everything loaded
already (`kernel_py.hosts.native.fork_server`). The pipes' ends are whose the child is.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import BinaryIO, Protocol, cast

from kernel_py.wire.errors import HostFault


class Child(Protocol):
    """A process that was started.

    Attributes:
        stderr: what it complains to; None if its server has that.
    """

    pid: int
    stdin: BinaryIO
    stdout: BinaryIO
    stderr: BinaryIO | None

    def kill(self) -> None:
        """End it at once, with all that it started in its session. Idempotent."""

    async def wait(self, timeout_s: float) -> int | None:
        """Its exit code, below zero for a signal; None if it is not known by then."""

    def complaints(self) -> str:
        """What was said of it where it has no stderr of its own."""


Open = Callable[[], Awaitable[Child]]
"""Starts a child. Raises HostFault if that cannot be done."""


@dataclass(frozen=True, slots=True)
class Program:
    """What to run. `environment` is the whole of it; `folder` is its working directory."""

    arguments: Sequence[str]
    environment: dict[str, str]
    folder: str


class _Started:
    """A program. It inherits three pipes and nothing else, and leads a session without a terminal."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdin
        assert process.stdout
        assert process.stderr
        self._process = process
        self.pid = process.pid
        self.stdin, self.stdout = cast("BinaryIO", process.stdin), cast("BinaryIO", process.stdout)
        self.stderr: BinaryIO | None = cast("BinaryIO", process.stderr)

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.kill()
        self._process.wait()

    async def wait(self, timeout_s: float) -> int | None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            await asyncio.to_thread(self._process.wait, timeout_s)
        return self._process.returncode

    def complaints(self) -> str:
        return ""


async def start_program(program: Program) -> Child:
    """Start a program.

    Raises:
        HostFault: it cannot be started.
    """
    pipe = subprocess.PIPE
    try:
        process = subprocess.Popen(  # noqa: ASYNC220 (returns as soon as the program is loaded)
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
        raise HostFault(f"cannot start {program.arguments[0]}: {error}") from error
    return _Started(process)
