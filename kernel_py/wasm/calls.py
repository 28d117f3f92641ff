"""The functions that a guest may call, over one instance's memory and one vat's store.

Each takes the guest's numbers and gives a size or a `Call` code. None raises: what fails on the host's side is
recorded, the gas is taken away, and the guest is stopped before long.

Source: `kernel_py.wasm.interface.IMPORTS`.
"""

from __future__ import annotations

from typing import Any, Protocol

from kernel_py.wasm.engine import HostFunction, Instance
from kernel_py.wasm.interface import MODULE, Call
from kernel_py.wasm.metering import GAS
from kernel_py.wire import canonical
from kernel_py.wire.errors import IllegalSyscall, KernelBug
from kernel_py.wire.limits import Limits
from kernel_py.wire.syscalls import check_size, parse_syscall

_CUT = "... what follows was cut: one delivery may print {:,} characters"


class Store(Protocol):
    """The vat's map from text to text. Only the host's own troubles raise."""

    def get(self, key: str) -> str | None: ...
    def set(self, key: str, value: str) -> None: ...
    def delete(self, key: str) -> None: ...
    def get_next_key(self, prior: str) -> str | None: ...
    def close(self) -> None: ...


class HostCalls:
    """One vat's functions of the host.

    Attributes:
        functions: by module and name, as the engine wants them.
        failure: what one of them could not do, and `failed_in` which; None if all went well since `begin`.
    """

    def __init__(self, store: Store, limits: Limits) -> None:
        self._store = store
        self._limits = limits
        self._instance: Instance | None = None
        self.failure: BaseException | None = None
        self.failed_in = ""
        self.begin()
        made: dict[str, HostFunction] = {
            "syscall": self._syscall,
            "store_get": self._store_get,
            "store_set": self._store_set,
            "store_delete": self._store_delete,
            "store_next_key": self._store_next_key,
            "take": self._take,
            "print": self._print,
            "fail": self._fail,
        }
        self.functions = {(MODULE, name): self._guard(name, function) for name, function in made.items()}

    def attach(self, instance: Instance) -> None:
        """From now on the numbers are addresses in this instance's memory."""
        self._instance = instance

    def begin(self) -> None:
        """Forget the last delivery."""
        self.failure = None
        self._syscalls: list[list[Any]] = []
        self._syscall_chars = 0
        self._waiting = b""
        self._lines: list[str] = []
        self._line_chars = 0
        self._failure_text = ""

    def take_batch(self) -> list[list[Any]]:
        syscalls, self._syscalls = self._syscalls, []
        return syscalls

    def take_console(self) -> list[str]:
        lines, self._lines = self._lines, []
        return lines

    def failure_text(self, status: int) -> str:
        """Why the guest could not carry out the delivery, in its own words."""
        return self._failure_text or f"deliver returned {status}"

    # Guarding ----------------------------------------------------------------------------------

    def _guard(self, name: str, function: HostFunction) -> HostFunction:
        def guarded(*args: int) -> int:
            if self.failure is not None:
                return Call.FAILED
            try:
                return function(*(value & 0xFFFF_FFFF for value in args))
            except _Refusal as refusal:
                return refusal.code
            except BaseException as error:  # noqa: BLE001 (whatever it is, it must not pass through the engine)
                self.failure = error
                self.failed_in = name
                self._stop()
                return Call.FAILED

        return guarded

    def _stop(self) -> None:
        """Let the guest go no further than its next loop or call."""
        if self._instance is not None:
            self._instance.set_global(GAS, -1)

    def _read(self, pointer: int, size: int) -> str:
        if self._instance is None:
            raise KernelBug("a guest called before it was attached")
        try:
            return self._instance.read(pointer, size).decode()
        except IndexError:
            raise _Refusal(Call.OUT_OF_BOUNDS) from None
        except UnicodeDecodeError:
            raise _Refusal(Call.MALFORMED) from None

    def _wait(self, text: str | None) -> int:
        """Keep a text for `take`."""
        self._waiting = b"" if text is None else text.encode()
        return Call.ABSENT if text is None else len(self._waiting)

    # The functions -----------------------------------------------------------------------------

    def _syscall(self, pointer: int, size: int) -> int:
        limits = self._limits
        text = self._read(pointer, size)
        if self._syscall_chars + size > limits.batch_chars_max or len(self._syscalls) >= limits.batch_syscalls_max:
            return Call.TOO_MUCH
        try:
            syscall = parse_syscall(canonical.load(text))
        except (ValueError, RecursionError, IllegalSyscall):
            return Call.MALFORMED
        if check_size(syscall, limits) is not None:
            return Call.TOO_MUCH
        self._syscall_chars += size
        self._syscalls.append(syscall.to_json())
        return Call.OK

    def _store_get(self, pointer: int, size: int) -> int:
        return self._wait(self._store.get(self._read(pointer, size)))

    def _store_set(self, key: int, key_size: int, value: int, size: int) -> int:
        self._store.set(self._read(key, key_size), self._read(value, size))
        return Call.OK

    def _store_delete(self, pointer: int, size: int) -> int:
        self._store.delete(self._read(pointer, size))
        return Call.OK

    def _store_next_key(self, pointer: int, size: int) -> int:
        return self._wait(self._store.get_next_key(self._read(pointer, size)))

    def _take(self, pointer: int, size: int) -> int:
        assert self._instance is not None
        data = self._waiting[:size]
        try:
            self._instance.write(pointer, data)
        except IndexError:
            return Call.OUT_OF_BOUNDS
        return len(data)

    def _print(self, pointer: int, size: int) -> int:
        text = self._read(pointer, size)
        room = self._limits.console_chars_max - self._line_chars
        if room > 0:
            self._lines.append(text[:room])
            if len(text) > room:
                self._lines.append(_CUT.format(self._limits.console_chars_max))
            self._line_chars += len(text)
        return Call.OK

    def _fail(self, pointer: int, size: int) -> int:
        self._failure_text = self._read(pointer, size)[: self._limits.error_chars_max]
        return Call.OK


class _Refusal(Exception):
    """The guest's own mistake; it gets a code."""

    def __init__(self, code: Call) -> None:
        super().__init__(code.name)
        self.code = code
