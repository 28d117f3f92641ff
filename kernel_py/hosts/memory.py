"""The in-process host: a kernel and its vats in one thread, with nothing asynchronous and no sleeping.

For tests, benchmarks and programs that want vats without isolation. Vats run in this very interpreter: they are
separate heaps by convention only, and this host confines nothing.

The host owns the backend; `reopen` gives a new host over the same backend, as after a crash.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar

from kernel_py.core.control import Call, parse_call
from kernel_py.core.interceptors import Interceptors, Part
from kernel_py.core.kernel import Kernel
from kernel_py.core.outputs import Invoke
from kernel_py.core.parts import DEFAULT_PARTS, Parts
from kernel_py.core.store import Backend, MemoryBackend
from kernel_py.hosts.loading import Loading
from kernel_py.hosts.services import Service
from kernel_py.vat.session import VatSession
from kernel_py.wire import protocol
from kernel_py.wire.errors import HostFault, IllegalSyscall, KernelBug, KernelError
from kernel_py.wire.limits import DEFAULT_LIMITS, Limits

_T = TypeVar("_T")


def run_now(awaitable: Awaitable[_T]) -> _T:
    """Run a coroutine that never waits, such as those of synchronous backends."""
    steps = awaitable.__await__()
    try:
        next(steps)
    except StopIteration as finished:
        return finished.value  # type: ignore[no-any-return]
    steps.close()
    raise KernelBug("a synchronous backend or service waited")


async def _gather(texts: AsyncIterator[str]) -> list[str]:
    """One by one: what crosses at once may be several, one a line."""
    return [line async for text in texts for line in text.split("\n")]


def _make_python_session(_spec: protocol.VatSpec, limits: Limits) -> VatSession:
    return VatSession(limits=limits)


def _post_to(session: VatSession) -> Callable[[str, str], list[str]]:
    return lambda _vat, text: session.receive(text)


class RequestFailed(KernelError):
    """A control request was answered with an error.

    Attributes:
        path: where in the parameters the fault lies, or "".
    """

    def __init__(self, error: Mapping[str, Any]) -> None:
        super().__init__(error["message"])
        self.path = error.get("data", {}).get("path", "")
        self.code = error["code"]


class MemoryHost:
    """Runs a kernel with vats in this process, one step at a time."""

    def __init__(
        self,
        backend: Backend | None = None,
        *,
        limits: Limits = DEFAULT_LIMITS,
        seed: str = "seed",
        is_serial: bool = False,
        now_ms: Callable[[], int] | None = None,
        cranks_per_commit: int = 1,
        make_session: Callable[[protocol.VatSpec, Limits], VatSession] | None = None,
        services: Sequence[Service] = (),
        parts: Parts = DEFAULT_PARTS,
        interceptors: Interceptors | None = None,
    ) -> None:
        """Open a kernel over `backend`, a new one in memory by default.

        Args:
            now_ms: the clock; by default one that counts the host's own steps, and that `pass_time` moves.
            make_session: makes a vat's session, for vats of other kinds than Python.
            cranks_per_commit: at most so many cranks in one commit. Answers always wait for theirs.
            services: those of the host; their handlers must not wait for anything.
            parts, interceptors: see `Kernel`.
        """
        self.backend = backend if backend is not None else MemoryBackend()
        self.interceptors = interceptors or Interceptors()
        self._store = self.interceptors.wrap(Part.STORE, self.backend)
        self.limits = limits
        self.events: list[dict[str, Any]] = []
        self._options = {
            "seed": seed,
            "is_serial": is_serial,
            "now_ms": now_ms,
            "cranks_per_commit": cranks_per_commit,
            "make_session": make_session,
            "services": services,
            "parts": parts,
            "interceptors": self.interceptors,
        }
        self._make_session = make_session or _make_python_session
        self._services = {service.declared.name: service for service in services}
        self._invokes: deque[Invoke] = deque()
        self._has_own_clock = now_ms is None
        self._cranks_per_commit = cranks_per_commit
        self._uncommitted_cranks = 0
        self._ticks = 0
        self._now_ms = self.interceptors.wrap_function(Part.CLOCK, "now_ms", now_ms or self._tick)
        self._sessions: dict[str, VatSession] = {}
        self._responses: dict[str, str] = {}
        self._requests = 0
        self.kernel = Kernel(
            run_now(self._store.load()),
            seed=seed,
            limits=limits,
            is_serial=is_serial,
            services=[service.declared for service in services],
            parts=parts,
            interceptors=self.interceptors,
        )
        self._pending: deque[tuple[str, str]] = deque()
        self.kernel.redeliver()
        self._take()

    def _tick(self) -> int:
        self._ticks += 1
        return self._ticks

    def reopen(self, *, keep: Sequence[str] = ()) -> MemoryHost:
        """A new host over the same backend; this one, and every vat in it, is forgotten as in a crash.

        Args:
            keep: vats whose realms live on, and are found again.
        """
        host = MemoryHost(self.backend, limits=self.limits, **self._options)  # type: ignore[arg-type]
        host._ticks = self._ticks
        host._sessions.update((vat, self._sessions.pop(vat)) for vat in keep)
        return host

    def close(self) -> None:
        """Let go of all vats: their modules leave the process."""
        for session in self._sessions.values():
            session.close()
        self._sessions.clear()

    # --- the loop -------------------------------------------------------------------------------

    def step(self) -> bool:
        """Carry out one delivery, or one call of a service. Returns whether there was one."""
        if self._invokes:
            self._carry_out(self._invokes.popleft())
            return True
        if not self._pending:
            self.kernel.dispatch(self._now_ms())
            self._take()
        if not self._pending:
            self._commit()
            return self.kernel.has_leftovers or bool(self._invokes)
        self._deliver(*self._pending.popleft())
        if not self._pending:
            self.kernel.dispatch(self._now_ms())
        self._take()
        return True

    def run(self, steps_max: int = 1_000_000) -> int:
        """Step until nothing is left to do. Returns the number of deliveries."""
        for steps in range(steps_max):
            if not self.step():
                return steps
        raise KernelBug(f"still busy after {steps_max:,} deliveries")

    def pass_time(self, seconds: float) -> None:
        """Let time pass on the host's own clock, and do what falls due, each at its time."""
        end = self._ticks + round(seconds * 1000)
        self.run()
        while (due_ms := self.kernel.next_due_ms) is not None and due_ms <= end:
            self._skip_to(due_ms)
            self.run()
        self._ticks = max(self._ticks, end)

    def _skip_to(self, due_ms: int) -> None:
        self._ticks = max(self._ticks, due_ms - 1)  # the next look at the clock is one later

    def _carry_out(self, invoke: Invoke) -> None:
        handler = self._services[invoke.service].handler
        try:
            value = run_now(handler(invoke.method, invoke.args, invoke.kwargs, invoke.config))
        except KernelBug:
            raise
        except Exception as error:  # noqa: BLE001 (the caller gets whatever the service raises)
            self.kernel.service_failed(invoke.call, error)
        else:
            self.kernel.service_answered(invoke.call, value)
        self._take()

    def _deliver(self, vat: str, text: str) -> None:
        session = self._sessions.get(vat)
        if session is None:
            session = self._open_session(vat)
        for reply in self.interceptors.call(Part.WORKERS, "post", _post_to(session), vat, text, vat=vat):
            try:
                parsed = protocol.parse_vat_text(reply, self.limits)
            except IllegalSyscall as fault:
                self.kernel.fault(vat, fault)
                break
            match parsed:
                case protocol.Done():
                    self.kernel.complete(vat, parsed)
                case protocol.Failed(error=error):
                    del self._sessions[vat]
                    self.kernel.worker_died(vat, HostFault(error))
                case _:
                    raise KernelBug(f"unexpected from {vat}: {reply:.200}")

    def _open_session(self, vat: str) -> VatSession:
        """Start a vat and bring it up to the kernel's record of it."""
        self._commit()
        loading = Loading(self.kernel, self._store, vat)
        spec = run_now(loading.read_first())
        session = self.interceptors.call(Part.WORKERS, "create", self._make_session, spec, self.limits, vat=vat)
        texts = [*run_now(_gather(loading.read_texts())), protocol.dump_go(loading.delivered)]
        for reply in [reply for text in texts for line in text.split("\n") for reply in session.receive(line)]:
            parsed = protocol.parse_vat_text(reply, self.limits)
            if isinstance(parsed, protocol.Failed):
                raise HostFault(parsed.error)
        self._sessions[vat] = session
        return session

    def _take(self) -> None:
        actions = self.kernel.take_actions()
        if actions.stops:
            for vat in actions.stops:
                self._sessions.pop(vat, None)
            self._pending = deque(item for item in self._pending if item[0] not in actions.stops)
        for vat in actions.restarts:
            self._sessions.pop(vat, None)
            self._pending = deque(item for item in self._pending if item[0] != vat)
            if self.kernel.is_alive(vat):
                self._pending.extend((vat, delivery.text) for delivery in self.kernel.get_inflight(vat))
        for delivery in actions.deliveries:
            if delivery.vat not in actions.restarts:
                self._pending.append((delivery.vat, delivery.text))
        self._uncommitted_cranks += 1
        if self._uncommitted_cranks >= self._cranks_per_commit or self.kernel.has_responses:
            self._commit()

    def _commit(self) -> None:
        commit = self.kernel.take_commit()
        if commit.delta:
            run_now(self._store.commit(commit.delta))
        self._responses.update((response.key, response.text) for response in commit.responses)
        self.events.extend(commit.events)
        self._invokes.extend(commit.invokes)
        self._uncommitted_cranks = 0

    def evict(self, vat: str) -> None:
        """Forget a vat's heap; its next delivery brings it back by replay."""
        self._sessions.pop(vat, None)

    # --- control --------------------------------------------------------------------------------

    def post(self, method: str, params: dict[str, Any] | None = None, key: str = "") -> str:
        """Make a control request without waiting. Returns its key, for `find_response`."""
        self._requests += 1
        key = key or f"{method}-{self._requests}"
        text = json.dumps({"jsonrpc": "2.0", "id": key, "method": method, "params": params or {}})
        call = parse_call(text, self.limits)
        self.kernel.request(Call(call.key, call.method, call.params), {})
        self._take()
        return key

    def find_response(self, key: str) -> Any:
        """The result of a request, or None if it is not answered yet.

        Raises:
            RequestFailed: it was answered with an error.
        """
        text = self._responses.get(key)
        if text is None:
            return None
        response = json.loads(text)
        if "error" in response:
            raise RequestFailed(response["error"])
        return response["result"]

    def request(self, method: str, params: dict[str, Any] | None = None) -> Any:
        """Make a control request, run until it is answered, acknowledge it, and return its result.

        On the host's own clock, time in which only timers are awaited goes by at once.

        Raises:
            RequestFailed: it was answered with an error.
            HostFault: nothing is left to do and it is not answered: it waits for something outside.
        """
        key = self.post(method, params)
        while key not in self._responses:
            if not self.step():
                due_ms = self.kernel.next_due_ms
                if due_ms is None or not self._has_own_clock:
                    raise HostFault(f"{method} is not answered and nothing is left to do")
                self._skip_to(due_ms)
        try:
            return self.find_response(key)
        finally:
            del self._responses[key]
            self.kernel.acknowledge(key)
            self._take()

    def launch(self, config: dict[str, Any], files: dict[str, str]) -> dict[str, Any]:
        """Launch a cluster; returns ``{cluster, vats, root, result}``."""
        return dict(self.request("launch", {"config": config, "files": files}))

    def send(self, target: str, method: str, args: str = "") -> dict[str, Any]:
        """Send a message and run until it is settled; returns ``{status, value, body, slots}``."""
        return dict(self.request("send", {"target": target, "method": method, "args": args}))
