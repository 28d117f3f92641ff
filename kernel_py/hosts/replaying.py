"""Replaying: a vat's whole life, carried out again and compared with its record, with no kernel running.

Owns the course of one replay. The store is only read. What counts is that every syscall is the same; where the heap was
looked at, and the realm can tell its own, its digest must be the same too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from kernel_py.core.kernel import Kernel
from kernel_py.core.store import Backend
from kernel_py.hosts.loading import Loading
from kernel_py.hosts.realms import Workers
from kernel_py.wire import protocol
from kernel_py.wire.errors import IllegalSyscall, KernelError
from kernel_py.wire.limits import DEFAULT_LIMITS, Limits
from kernel_py.wire.snapshots import HeapImage


@dataclass(slots=True)
class Report:
    """What came of replaying one vat.

    Attributes:
        deliveries: in its record.
        heaps: digests that were compared and are the same.
        differences: what is not as it was recorded; none if the vat is sound.
        unchecked: digests that the realm could not compare, having no heap to show or another base.
    """

    vat: str
    name: str
    deliveries: int
    heaps: int
    unchecked: int
    differences: list[str]


class Replayer:
    """Replays vats one after the other; hears the workers as a host does.

    Args:
        on_progress: told (vat, deliveries given to the realm so far, all deliveries).
    """

    def __init__(
        self,
        kernel: Kernel,
        backend: Backend,
        workers: Workers,
        *,
        on_progress: Callable[[str, int, int], None] = lambda *_: None,
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        self._kernel = kernel
        self._backend = backend
        self._workers = workers
        self._on_progress = on_progress
        self._limits = limits
        self._vat = ""
        self._said: asyncio.Queue[protocol.VatText | KernelError] = asyncio.Queue()

    async def replay(self, vat: str, kind: str = "") -> Report:
        """Carry out all that a living vat has done, in a fresh realm.

        Args:
            kind: that of the realm, if it is not the vat's own.
        """
        record = self._kernel.get_vat(vat)
        loading = Loading(self._kernel, self._backend, vat)
        report = Report(vat, record.name, loading.delivered, 0, 0, [])
        self._vat, self._said = vat, asyncio.Queue()
        self._workers.create(vat, 0, kind or record.kind)
        try:
            base = await self._wait_for_hello()
            given = 0
            async for text in loading.read_texts():
                self._workers.post(vat, text)
                given += text.count('["replay"')
                self._on_progress(vat, given, loading.delivered)
                await asyncio.sleep(0)
            self._workers.post(vat, protocol.dump_go(loading.delivered))
            await self._take_rest(report, loading, base)
        except KernelError as error:
            report.differences.append(str(error))
        finally:
            self._workers.destroy(vat)
        report.unchecked = sum(1 for _, digest in loading.marks.values() if digest)
        return report

    async def _wait_for_hello(self) -> str:
        said = await self._said.get()
        match said:
            case protocol.Hello(vat=None, base=base):
                return base
            case KernelError():
                raise said
            case _:
                raise IllegalSyscall(f"a fresh realm said {said!r:.200}")

    async def _take_rest(self, report: Report, loading: Loading, base: str) -> None:
        """Take digests until the realm is where the record is."""
        while True:
            said = await self._said.get()
            match said:
                case protocol.Ready(delivered=delivered) if delivered == loading.delivered:
                    return
                case protocol.Digest(delivered=delivered, digest=digest):
                    mark = loading.marks.get(delivered, ("", ""))
                    if mark[0] == base and mark[1]:
                        del loading.marks[delivered]
                        report.heaps += digest == mark[1]
                        if digest != mark[1]:
                            what = f"the heap after delivery {delivered} of {report.vat} is another"
                            report.differences.append(f"{what}: expected {mark[1]}, actual {digest}")
                case protocol.Failed(error=error):
                    report.differences.append(error)
                    return
                case KernelError():
                    raise said
                case _:
                    raise IllegalSyscall(f"unexpected from {report.vat}: {said!r:.200}")

    # --- what workers say -----------------------------------------------------------------------

    def vat_text(self, vat: str, text: str) -> None:
        """A realm has spoken."""
        if vat == self._vat:
            for line in text.split("\n"):
                try:
                    self._said.put_nowait(protocol.parse_vat_text(line, self._limits))
                except IllegalSyscall as error:
                    self._said.put_nowait(error)

    def vat_lost(self, vat: str, reason: str) -> None:
        """A realm is gone."""
        if vat == self._vat:
            self._said.put_nowait(KernelError(f"the realm of {vat} is gone: {reason}"))

    def heap_imaged(self, vat: str, image: HeapImage) -> None:
        """Nothing asks for it."""

    def heap_not_imaged(self, vat: str, reason: str) -> None:
        """Nothing asks for it."""

    def restore_failed(self, vat: str, reason: str, chunk: str = "") -> None:
        """Nothing is restored."""
