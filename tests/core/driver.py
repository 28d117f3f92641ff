"""Drives a kernel with scripted vats: deliveries come out as data, syscalls go in as data.

A scripted vat does nothing by itself: a test looks at what it was delivered and says what it replies. It has one
delivery at a time, unless the limits say otherwise: then `inflight` is what it replies to next, and `followers` are
what it was given besides. Everything passes through the text protocol, as in a host. After each input the driver
dispatches, commits, and checks every invariant of the state (`tests.core.invariants`).
"""

from __future__ import annotations

import itertools
import json
from collections import Counter
from dataclasses import replace
from typing import Any

from kernel_py.core import kmarshal
from kernel_py.core.cluster_config import VAT_KINDS
from kernel_py.core.control import Call, parse_call
from kernel_py.core.kernel import Kernel
from kernel_py.core.kmarshal import Ref
from kernel_py.core.outputs import Invoke
from kernel_py.core.schema import Cluster, ClusterState, KernelPromise
from kernel_py.core.services.service import HostService
from kernel_py.core.store import MemoryBackend
from kernel_py.hosts.memory import RequestFailed, run_now
from kernel_py.wire import canonical, protocol
from kernel_py.wire.errors import HostFault, IllegalSyscall
from kernel_py.wire.limits import DEFAULT_LIMITS, Limits
from tests.core.invariants import Mirror, check_state

JSON = Any

# --- capdata, syscalls and deliveries as JSON -------------------------------------------------------

UNDEFINED = '#"#undefined"'
TERMINATED = '#{"#error":"vat terminated","name":"Error"}'


def data(body: str, *slots: str) -> JSON:
    return {"body": body, "slots": list(slots)}


def ref(slot: str) -> JSON:
    """Capdata of one reference."""
    return data('#"&0"' if slot[0] == "p" else '#"$0.Alleged: thing"', slot)


def refs(*slots: str) -> JSON:
    """Capdata of a list of references."""
    marks = [f"{'&' if slot[0] == 'p' else '$'}{index}" for index, slot in enumerate(slots)]
    return data("#" + canonical.dump(marks), *slots)


def text(value: str) -> JSON:
    """Capdata of a string."""
    return data(f'#"{value}"')


def call(method: str, *slots: str) -> JSON:
    """Methargs of a method called with references."""
    return data("#" + canonical.dump([method, json.loads(refs(*slots)["body"][1:])]), *slots)


def send(target: str, method: str, *slots: str, result: str | None = None) -> JSON:
    return ["send", target, {"methargs": call(method, *slots), "result": result}]


def ask(target: str, method: str, args: list[object], *slots: str, result: str | None = None) -> JSON:
    """A send with values as arguments, and then `slots`, which are objects."""
    methargs = kmarshal.serialize_call(method, [*args, *map(Ref, slots)])
    return ["send", target, {"methargs": data(methargs.body, *methargs.slots), "result": result}]


def value(item: object) -> JSON:
    """Capdata of a value without references."""
    return data(kmarshal.serialize(item).body)


def subscribe(promise: str) -> JSON:
    return ["subscribe", promise]


def fulfill(promise: str, value: JSON) -> JSON:
    return ["resolve", [[promise, False, value]]]


def reject(promise: str, value: JSON) -> JSON:
    return ["resolve", [[promise, True, value]]]


def leave(value: str = "bye", *, is_failure: bool = False) -> JSON:
    return ["exit", is_failure, text(value)]


def message(target: str, method: str, *slots: str, result: str | None = None) -> JSON:
    """The delivery of a message."""
    return ["message", target, {"methargs": call(method, *slots), "result": result}]


def notify(*resolutions: tuple[str, bool, JSON]) -> JSON:
    return ["notify", [list(resolution) for resolution in resolutions]]


# --- the driver -------------------------------------------------------------------------------------

ONE_BY_ONE = replace(DEFAULT_LIMITS, deliveries_inflight_max=1)

GO = "p-61"
"""What the first message that a test sends to the bootstrap vat has as its result."""


class Driver:
    """One kernel, its store, and what its scripted vats were told."""

    def __init__(
        self,
        *,
        is_serial: bool = False,
        limits: Limits = ONE_BY_ONE,
        backend: MemoryBackend | None = None,
        services: tuple[HostService, ...] = (),
        kinds: tuple[str, ...] = VAT_KINDS,
        mirror: Mirror | None = None,
        is_checking: bool = True,
    ) -> None:
        """Start a kernel. `mirror` is one of a `backend` that is not empty, if there is one: making it takes time."""
        self.kinds = kinds
        self.backend = backend or MemoryBackend()
        self.limits = limits
        self.is_serial = is_serial
        self.services = services
        self.is_committing = True
        self.is_checking = is_checking
        self.holds: Counter[str] = Counter()
        self.names: dict[str, str] = {}
        self.stopped: list[str] = []
        self.events: list[dict[str, Any]] = []
        self.responses: dict[str, list[str]] = {}
        self.now_ms = 0
        self.turns = 0
        self.inputs: list[tuple[str, tuple[Any, ...]]] = []
        self._inputs_stored = 0
        self._requests = 0
        self._open(mirror)

    def _open(self, mirror: Mirror | None = None) -> None:
        self.inflight: dict[str, str] = {}
        self.followers: dict[str, list[str]] = {}
        self.invokes: dict[str, Invoke] = {}
        self.mirror = mirror or Mirror.of(self.backend)
        self.kernel = Kernel(
            run_now(self.backend.load()),
            seed="seed",
            limits=self.limits,
            is_serial=self.is_serial,
            services=self.services,
            kinds=self.kinds,
        )
        self._give("redeliver")
        self.turn()

    def _give(self, name: str, *arguments: Any) -> None:
        """Give the kernel an input, and note it: the notes hold all that have led to its state."""
        self.inputs.append((name, arguments))
        getattr(self.kernel, name)(*arguments)

    def reload(self) -> None:
        """Kill the kernel and start another from what was committed."""
        assert vars(Mirror.of(self.backend)) == vars(self.mirror)
        del self.inputs[self._inputs_stored :]
        self._open()

    # --- after each input -----------------------------------------------------------------------

    def turn(self) -> None:
        """Dispatch, take what comes out, commit, and check."""
        self.now_ms += 1
        self.turns += 1
        self._give("dispatch", self.now_ms)
        self.take()

    def take(self) -> None:
        """Take what came out, commit, and check."""
        actions = self.kernel.take_actions()
        for vat in actions.stops:
            self.stopped.append(vat)
            self._forget(vat)
        for vat in actions.restarts:
            self._forget(vat)
        again = [self.kernel.get_inflight(vat) for vat in dict.fromkeys(actions.restarts) if self.kernel.is_alive(vat)]
        others = [delivery for delivery in actions.deliveries if delivery.vat not in actions.restarts]
        for delivery in (*itertools.chain(*again), *others):
            if self.kernel.is_inflight(delivery.vat, delivery.number):
                if delivery.vat in self.inflight:
                    self.followers.setdefault(delivery.vat, []).append(delivery.text)
                else:
                    self.inflight[delivery.vat] = delivery.text
        if self.is_committing:
            self.commit()
        if self.is_checking:
            self.check()

    def _forget(self, vat: str) -> None:
        self.inflight.pop(vat, None)
        self.followers.pop(vat, None)

    def _advance(self, vat: str) -> None:
        """The vat goes on to what it was given ahead."""
        del self.inflight[vat]
        if vat in self.followers:
            self.inflight[vat] = self.followers[vat].pop(0)
            if not self.followers[vat]:
                del self.followers[vat]

    def commit(self) -> None:
        commit = self.kernel.take_commit()
        run_now(self.backend.commit(commit.delta))
        self._inputs_stored = len(self.inputs)
        for response in commit.responses:
            self.responses.setdefault(response.key, []).append(response.text)
        self.events.extend(commit.events)
        self.invokes.update((invoke.call, invoke) for invoke in commit.invokes)
        self.mirror.apply(commit.delta)
        if self.is_checking:
            self.mirror.check_stored(self.kernel)

    def check(self) -> None:
        check_state(self.kernel, self.holds)
        self.mirror.check_pending(self.kernel)
        told = {vat: [first, *self.followers.get(vat, [])] for vat, first in self.inflight.items()}
        known = {f"{vat}/{json.loads(each)[1]}" for vat, texts in told.items() for each in texts}
        assert known == set(self.kernel._state._tables.get("inflight", {}))

    # --- inputs: vats ---------------------------------------------------------------------------

    def vat(self, name: str) -> str:
        """The id of a vat of the last cluster that was launched; an id stands for itself."""
        return self.names.get(name, name)

    def delivery(self, name: str) -> JSON:
        """What the vat is carrying out, as JSON, or None."""
        told = self.inflight.get(self.vat(name))
        return None if told is None else json.loads(told)[3]

    def reply(self, name: str, *syscalls: JSON, error: str | None = None) -> None:
        """Answer the delivery in flight with a batch."""
        number = json.loads(self.inflight[self.vat(name)])[1]
        status = ["ok", None] if error is None else ["error", error]
        self.say(name, canonical.dump(["done", number, status, list(syscalls), {"console": []}]))

    def say(self, name: str, told: object) -> None:
        """Whatever a vat says, taken as a host takes it."""
        vat = self.vat(name)
        try:
            parsed = protocol.parse_vat_text(told, self.limits)
        except IllegalSyscall as fault:
            self._give("fault", vat, fault)
        else:
            match parsed:
                case protocol.Done():
                    if vat in self.inflight:
                        self._advance(vat)
                    self._give("complete", vat, parsed)
                case protocol.Failed(error=error):
                    self._lose(vat, error)
                case _:
                    self._give("fault", vat, IllegalSyscall(f"unexpected: {told!r:.200}"))
        self.turn()

    def lose(self, name: str, reason: str = "out of memory") -> None:
        """The vat's worker dies."""
        self._lose(self.vat(name), reason)
        self.turn()

    def _lose(self, vat: str, reason: str) -> None:
        self._forget(vat)
        self._give("worker_died", vat, HostFault(reason))

    def poison(self, name: str, reason: str = "out of gas") -> None:
        """The vat's meter stops it in the middle of the delivery."""
        number = json.loads(self.inflight[self.vat(name)])[1]
        self.say(name, canonical.dump(["done", number, ["poison", reason], [], {"console": []}]))

    def handle(self, name: str, expected: JSON, *syscalls: JSON) -> None:
        """The vat must be carrying out `expected`, and replies with `syscalls`."""
        assert self.delivery(name) == expected
        self.reply(name, *syscalls)

    # --- inputs: clients ------------------------------------------------------------------------

    def request(self, method: str, params: dict[str, Any] | None = None, key: str = "") -> str:
        """Make a control request; returns its key."""
        self._requests += 1
        key = key or f"key-{self._requests}"
        told = json.dumps({"jsonrpc": "2.0", "id": key, "method": method, "params": params or {}})
        parsed = parse_call(told, self.limits)
        self._give("request", Call(parsed.key, parsed.method, parsed.params), {})
        self.turn()
        return key

    def result(self, key: str) -> Any:
        """The answer to a request, or None if there is none yet. Raises RequestFailed if it is an error."""
        if key not in self.responses:
            return None
        assert len(set(self.responses[key])) == 1, "answered differently"
        response = json.loads(self.responses[key][-1])
        assert response["id"] == key
        if "error" in response:
            raise RequestFailed(response["error"])
        return response["result"]

    def query(self, method: str, /, **params: Any) -> Any:
        return self.result(self.request(method, params))

    def answer(self, call: str, value: object) -> None:
        """A service of the host's has carried out a call, or raised `value`."""
        del self.invokes[call]
        if isinstance(value, Exception):
            self._give("service_failed", call, value)
        else:
            self._give("service_answered", call, value)
        self.turn()

    def wait_until(self, now_ms: int) -> None:
        """Let time pass."""
        self.now_ms = now_ms - 1
        self.turn()

    def acknowledge(self, key: str) -> None:
        self._give("acknowledge", key)
        self.turn()

    def ask(self, name: str, method: str = "go", args: str = "") -> str:
        """Send a message to the vat's root from outside; returns the request's key."""
        return self.request("send", {"target": self.root(name), "method": method, "args": args})

    # --- clusters -------------------------------------------------------------------------------

    def begin_launch(
        self,
        *names: str,
        name: str = "",
        key: str = "",
        source: str = "x = 1",
        services: tuple[JSON, ...] = (),
        bundles: JSON = None,
        vats: JSON = None,
    ) -> str:
        """Ask for a cluster of vats, of which the first has the bootstrap; returns the request's key.

        Args:
            vats: what the cluster file says of vats of which there is more to say, by name.
        """
        told = {vat: {"source": "vat.py"} for vat in names} | (vats or {})
        config: dict[str, Any] = {"bootstrap": names[0], "vats": told}
        if bundles:
            config["bundles"] = bundles
        if name:
            config["name"] = name
        if services:
            config["services"] = list(services)
        key = self.request("launch", {"config": config, "files": {"vat.py": source}}, key)
        self.names = dict(self.kernel._state.get("clusters", self.last_cluster).vats)
        return key

    @property
    def last_cluster(self) -> str:
        return max(self.kernel._state.rows("clusters"), key=lambda cluster: int(cluster[1:]))

    def start_all(self) -> None:
        """Let every vat of the cluster start."""
        for name in list(self.names):
            assert self.delivery(name) == ["startVat", data("#{}")]
            self.reply(name)

    def launch(
        self,
        *names: str,
        source: str = "x = 1",
        services: tuple[JSON, ...] = (),
        bundles: JSON = None,
        vats: JSON = None,
    ) -> str:
        """A running cluster. The first vat knows the others as o-50, o-51, ..., and then services, by their names.

        Returns the cluster's id.
        """
        key = self.begin_launch(*names, source=source, services=services, bundles=bundles, vats=vats)
        self.start_all()
        self.reply(names[0], fulfill("p-60", data(UNDEFINED)))
        assert self.result(key)["vats"] == self.names
        self.acknowledge(key)
        return self.last_cluster

    # --- a look inside --------------------------------------------------------------------------

    def root(self, name: str) -> str:
        return self.kernel.get_vat(self.vat(name)).root

    def kref(self, name: str, vref: str) -> str:
        """The kernel's name for a vat's reference."""
        kref = self.kernel._references.find_kref(self.vat(name), vref)
        assert kref is not None, f"{name} has no {vref}"
        return kref

    def find_vref(self, name: str, kref: str) -> str | None:
        entry = self.kernel._references.find_entry(self.vat(name), kref)
        return None if entry is None else entry.vref

    def promise(self, kpid: str) -> KernelPromise:
        return self.kernel._references.get_promise(kpid)

    def state_of(self, name: str) -> str:
        return self.kernel.get_vat(self.vat(name)).state.value

    def cluster_state_of(self, name: str) -> ClusterState:
        cluster = self.kernel._state.get("clusters", self.kernel.get_vat(self.vat(name)).cluster)
        assert isinstance(cluster, Cluster)
        return cluster.state

    def reason_of(self, name: str) -> str:
        return self.kernel.get_vat(self.vat(name)).reason
