"""Time travel: a vat's heap as it was after one of its deliveries, in a realm that nothing else knows of.

Owns the detached realms. One is made by the same `Workers` as others, under a name that no vat has, such as "v3@120".
It is restored from the nearest snapshot before that delivery, and given the deliveries after it from the transcript,
as any vat that comes back; then it is looked at. Since a look may change the heap, and ends all replaying, each point
in time has a realm of its own: a step to the next is another realm.

Invariants:
    * Nothing that a detached realm says reaches the kernel: what is answered goes to the client who asked.
    * The kernel posts it no delivery and no "go"; after the first look its session would not take any.
    * At most `Limits.travels_max` of them; the one that was not looked at for longest makes room.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from kernel_py.core import control
from kernel_py.core.cluster_config import COMMAND_KIND, WASM_KIND
from kernel_py.core.kernel import Kernel
from kernel_py.core.schema import Snapshot
from kernel_py.core.store import Backend
from kernel_py.hosts.loading import Loading
from kernel_py.hosts.realms import Workers
from kernel_py.hosts.sources import Sources
from kernel_py.wire import canonical, protocol
from kernel_py.wire.deliveries import DeliverMessage, Notify, RefDelivery, parse_delivery
from kernel_py.wire.errors import HostFault, IllegalSyscall, KernelError, RequestError
from kernel_py.wire.limits import Limits

_SEPARATOR = "@"
_OPAQUE_KINDS = (WASM_KIND, COMMAND_KIND)
"""Kinds of vats in which there is no Python to look at."""

_T = TypeVar("_T", bound=protocol.VatText)


def is_detached(name: str) -> bool:
    """Whether it is the name of a detached realm, and not that of a vat."""
    return _SEPARATOR in name


class _Detached:
    """One detached realm."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.lock = asyncio.Lock()
        self.is_there = False
        self.note = ""
        self.marks: dict[int, tuple[str, str]] = {}
        self.base = ""
        self.timer: asyncio.TimerHandle | None = None
        self._heard: asyncio.Queue[protocol.VatText | KernelError] = asyncio.Queue()

    def take(self, heard: protocol.VatText | KernelError) -> None:
        self._heard.put_nowait(heard)

    async def expect(self, kind: type[_T]) -> _T:
        """What the realm says next, of that kind.

        Raises:
            HostFault: it says something else, or is gone.
        """
        while True:
            heard = await self._heard.get()
            match heard:
                case kind():
                    return heard
                case protocol.Digest(delivered=delivered, digest=digest):
                    base, expected = self.marks.pop(delivered, ("", ""))
                    if expected and base == self.base and digest != expected:
                        self.note = f"the heap after delivery {delivered} differs from its record"
                case protocol.Failed(error=error):
                    raise HostFault(error)
                case KernelError():
                    raise HostFault(str(heard))
                case _:
                    raise HostFault(f"the realm said {type(heard).__name__} where {kind.__name__} was due")


class Travels:
    """The detached realms of one host. See the module's docstring.

    Args:
        settled: waits until what has happened so far is durable.
        on_change: told when the first request begins, and when the last one has ended.
    """

    def __init__(
        self,
        *,
        backend: Backend,
        workers: Workers,
        settled: Callable[[], Awaitable[None]],
        spawn: Callable[[Coroutine[Any, Any, None]], object],
        on_change: Callable[[], None],
        sources: Sources | None,
        limits: Limits,
    ) -> None:
        self._backend = backend
        self._workers = workers
        self._settled = settled
        self._spawn = spawn
        self._on_change = on_change
        self._sources = sources
        self._limits = limits
        self._realms: dict[str, _Detached] = {}
        self._requests = 0

    @property
    def is_busy(self) -> bool:
        return self._requests > 0

    def begin(self, kernel: Kernel, call: control.Call, send: Callable[[str], None]) -> None:
        """Answer a request about the past, later."""
        self._requests += 1
        self._spawn(self._answer(kernel, call, send))
        self._on_change()

    async def _answer(self, kernel: Kernel, call: control.Call, send: Callable[[str], None]) -> None:
        try:
            text = control.dump_result(call.key, await self.carry_out(kernel, call))
        except RequestError as error:
            text = control.dump_error(call.key, control.INVALID_PARAMS, error)
        except KernelError as error:
            text = control.dump_error(call.key, control.SERVER_ERROR, error)
        finally:
            self._requests -= 1
            self._on_change()
        send(text)

    async def carry_out(self, kernel: Kernel, call: control.Call) -> dict[str, Any]:
        """The answer to a request about the past.

        Raises:
            RequestError: it cannot be met, and why.
            KernelError: the heap could not be brought back.
        """
        try:
            async with asyncio.timeout(self._limits.travel_s_max):
                return await self._carry_out(kernel, call)
        except TimeoutError:
            raise HostFault(f"it took longer than {self._limits.travel_s_max} s: the realm was ended") from None

    async def _carry_out(self, kernel: Kernel, call: control.Call) -> dict[str, Any]:
        vat = kernel.parse_living_vat(call)
        params = call.params
        match call.method:
            case "deliveries":
                return await self._list_deliveries(kernel, vat, params.get("first", 1), params.get("limit", 100))
            case "endTravel":
                for name in [name for name in self._realms if name.startswith(f"{vat}{_SEPARATOR}")]:
                    self._end(name, HostFault("the journey was ended"))
                return {}
            case "travel":
                expression = params.get("expression")
                return await self._look(kernel, vat, params["delivery"], expression)
            case _:
                before = await self._look(kernel, vat, params["delivery"], None)
                after = await self._look(kernel, vat, params["other"], None)
                return compare(before, after)

    # --- the record -----------------------------------------------------------------------------

    async def _list_deliveries(self, kernel: Kernel, vat: str, first: int, limit: int) -> dict[str, Any]:
        total = kernel.get_delivered(vat)
        if first < 1 or not 0 < limit <= control.OBJECTS_LIMIT:
            raise RequestError(f"first is at least 1, and limit from 1 to {control.OBJECTS_LIMIT}", "params")
        await self._settled()
        last = min(total, first + limit - 1)
        entries = await self._backend.read_transcript(vat, first, last) if first <= last else []
        return {"deliveries": [_describe_entry(entry) for entry in entries], "total": total}

    # --- looks ----------------------------------------------------------------------------------

    async def _look(self, kernel: Kernel, vat: str, delivery: int, expression: str | None) -> dict[str, Any]:
        total, kind = kernel.get_delivered(vat), kernel.get_vat(vat).kind
        if not 1 <= delivery <= total:
            raise RequestError(
                f"{vat} has had deliveries 1 to {total:,}: there is no heap after delivery {delivery:,}",
                "params.delivery",
            )
        if kind in _OPAQUE_KINDS:
            raise RequestError(f"{vat} is of kind {kind}: there is no Python in it to look at", "params.vat")
        name = f"{vat}{_SEPARATOR}{delivery}"
        realm = self._provide(name)
        async with realm.lock:
            try:
                if self._realms.get(name) is not realm:
                    raise HostFault("it was ended meanwhile: ask again")
                if not realm.is_there:
                    await self._bring(kernel, realm, vat, delivery)
                    realm.is_there = True
                self._workers.post(name, protocol.dump_look(expression))
                seen = await realm.expect(protocol.Seen)
            except BaseException:
                self._drop(realm)
                raise
        self._rest(realm)
        return {**seen.found, "delivery": delivery, "total": total, "note": realm.note}

    def _provide(self, name: str) -> _Detached:
        """The realm of that name, now the one used last."""
        realm = self._realms.pop(name, None)
        if realm is None:
            self._make_room()
            realm = _Detached(name)
        self._realms[name] = realm
        if realm.timer is not None:
            realm.timer.cancel()
        return realm

    def _make_room(self) -> None:
        if len(self._realms) < self._limits.travels_max:
            return
        for name, realm in self._realms.items():
            if not realm.lock.locked() and realm.is_there:
                self._end(name, HostFault("it made room for another"))
                return
        raise RequestError(
            f"{self._limits.travels_max} heaps of the past are being looked at already: try again when that is done"
        )

    def _rest(self, realm: _Detached) -> None:
        if self._realms.get(realm.name) is realm:
            loop, reason = asyncio.get_running_loop(), HostFault("it was not looked at for long")
            realm.timer = loop.call_later(self._limits.travel_idle_s, self._end, realm.name, reason)

    async def _bring(self, kernel: Kernel, realm: _Detached, vat: str, delivery: int) -> None:
        """Make the realm, and the vat's past in it."""
        hello = await self._create(kernel, realm, vat)
        realm.base = hello.base
        snapshot = kernel.find_snapshot(vat, hello.base, delivery) if hello.base else None
        await self._settled()
        if snapshot is not None and not await self._restore(kernel, realm, vat, snapshot):
            snapshot = None
            await self._create(kernel, realm, vat)
        loading = Loading(kernel, self._backend, vat, snapshot, sources=self._sources, until=delivery)
        realm.marks = loading.marks
        async for text in loading.read_texts():
            self._workers.post(realm.name, text)

    async def _create(self, kernel: Kernel, realm: _Detached, vat: str) -> protocol.Hello:
        record = kernel.get_vat(vat)
        self._workers.create(realm.name, record.incarnation, record.kind)
        hello = await realm.expect(protocol.Hello)
        if hello.vat is not None:
            raise HostFault(f"a fresh realm says that it is {hello.vat}")
        return hello

    async def _restore(self, kernel: Kernel, realm: _Detached, vat: str, snapshot: Snapshot) -> bool:
        """Whether it could be; if not, the realm is of no use."""
        loading = Loading(kernel, self._backend, vat, snapshot, sources=self._sources)
        start = protocol.dump_start(await loading.read_first())
        self._workers.restore(realm.name, canonical.dump(snapshot._asdict()), start)
        try:
            hello = await realm.expect(protocol.Hello)
        except HostFault as fault:
            realm.note = f"the snapshot after delivery {snapshot.delivered} could not be used: {fault}"
            self._workers.destroy(realm.name)
            return False
        return hello.delivered == snapshot.delivered

    def _drop(self, realm: _Detached) -> None:
        if self._realms.get(realm.name) is realm:
            del self._realms[realm.name]
            self._workers.destroy(realm.name)

    def _end(self, name: str, reason: KernelError) -> None:
        realm = self._realms.pop(name, None)
        if realm is not None:
            if realm.timer is not None:
                realm.timer.cancel()
            self._workers.destroy(name)
            realm.take(reason)

    # --- what realms say ------------------------------------------------------------------------

    def take_texts(self, name: str, texts: str) -> None:
        """A detached realm has spoken: one text of the protocol a line."""
        realm = self._realms.get(name)
        if realm is None:
            return
        for line in texts.split("\n"):
            try:
                realm.take(protocol.parse_vat_text(line, self._limits))
            except IllegalSyscall as fault:
                realm.take(fault)

    def lose(self, name: str, reason: str) -> None:
        """A detached realm died, could not be made, or could not be restored."""
        realm = self._realms.get(name)
        if realm is None:
            return
        if realm.is_there and not realm.lock.locked():
            self._end(name, HostFault(reason))
        else:
            realm.take(HostFault(reason))

    def end(self) -> None:
        """The kernel is no more: neither is its past."""
        for name in list(self._realms):
            self._end(name, HostFault("the kernel's state was replaced by another"))

    def close(self) -> None:
        """Nothing is done any more by itself."""
        for realm in self._realms.values():
            if realm.timer is not None:
                realm.timer.cancel()


def _describe_entry(text: str) -> dict[str, Any]:
    entry = protocol.parse_transcript_entry(canonical.load(text))
    method = target = ""
    match parse_delivery(entry.delivery):
        case DeliverMessage(target=vref, message=message):
            method, target = _find_method(message.methargs.body), vref
            what = "message"
        case Notify(resolutions=resolutions):
            what, target = "notify", " ".join(resolution.promise for resolution in resolutions[:10])
        case RefDelivery(op=op, vrefs=vrefs):
            what, target = op.value, " ".join(vrefs[:10])
        case other:
            what = str(other.to_json()[0])
    return {
        "number": entry.number,
        "time_ms": entry.time_ms,
        "what": what,
        "method": method,
        "target": target,
        "syscalls": len(entry.syscalls),
        "error": entry.error or "",
    }


def _find_method(body: str) -> str:
    try:
        match canonical.load(body.removeprefix("#")):
            case [str(method), *_]:
                return method
            case _:
                pass
    except (ValueError, RecursionError):
        pass
    return "?"


def compare(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """What two lists of a heap differ in, objects and rows of the vat store."""
    objects = _compare_rows(
        {_name(row): row[2:] for row in before["objects"]}, {_name(row): row[2:] for row in after["objects"]}
    )
    store = _compare_rows(
        {key: [value] for key, value in before["store"]}, {key: [value] for key, value in after["store"]}
    )
    return {
        "delivery": before["delivery"],
        "other": after["delivery"],
        "total": after["total"],
        "objects": objects,
        "store": store,
        "is_cut": before["is_cut"] or after["is_cut"],
        "note": "; ".join(note for note in (before["note"], after["note"]) if note),
    }


def _name(row: list[str]) -> str:
    return f"{row[0]} {row[1]}"


def _compare_rows(before: dict[str, list[str]], after: dict[str, list[str]]) -> list[dict[str, str]]:
    """One for each difference: what became of it, its name, and how it was before and after, "" if it was not."""
    rows: list[dict[str, str]] = []
    for name in sorted(before.keys() | after.keys()):
        old, new = before.get(name), after.get(name)
        if old == new:
            continue
        change = "appeared" if old is None else "vanished" if new is None else "changed"
        rows.append({"change": change, "name": name, "before": (old or [""])[-1], "after": (new or [""])[-1]})
    return rows
