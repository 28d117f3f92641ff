"""`Vats`: a kernel and its vats in memory, and a test as one more vat among them.

What a test calls, it calls from a vat of its own, the *tester*. So it holds presences and promises, as vat code does;
it may hand out objects of its own classes, and its calls arrive as any other vat's would. The tester lives in the test:
it is the one vat that a crash does not take down.

Everything is synchronous. After each call of a method here all deliveries are made that can be made; then time stands
still until `advance`. Source files are loaded as in a realm; classes and functions of a test are taken as they are,
so what their module holds is shared by all vats that are made of them.
"""

from __future__ import annotations

import gc
import itertools
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import CoroutineType
from typing import Any, Self, TypeVar

from kernel_py.hosts.memory import MemoryHost
from kernel_py.hosts.native.cluster_files import read_cluster
from kernel_py.vat import E, Exo, Presence, Promise
from kernel_py.vat.promise import State
from kernel_py.wire.capdata import CapData
from kernel_py.wire.limits import DEFAULT_LIMITS, Limits
from kernel_py.wire.smallcaps import Marshal

T = TypeVar("T")
Builder = Callable[[Any, dict[str, Any], Any], object]

START_MS = 1_800_000_000_000
"""The time at which every test begins."""

_MAIN = "from kernel_py.testing.vats import find_builder\n\nbuild_root_object = find_builder({key!r})\n"
_builders: dict[str, Builder] = {}
_keys = itertools.count(1)


def find_builder(key: str) -> Builder:
    """The ``build_root_object`` of a vat that is made of a test's class or function."""
    return _builders[key]


class _Tester(Exo):
    """The root of the vat that a test is."""

    def __init__(self) -> None:
        self.jobs: deque[Callable[[], None]] = deque()
        self.met: list[Any] = []

    def bootstrap(self, vats: Any, services: Any) -> None: ...

    def work(self) -> None:
        self.jobs.popleft()()

    def meet(self, *references: Any) -> None:
        self.met = list(references)


class Sent:
    """The answer to a message: there already, later, or never.

    Attributes:
        promise: the tester's promise of it, to be passed on; None if the message could not be sent.
    """

    def __init__(self, what: str) -> None:
        self._what = what
        self.promise: Promise[Any] | None = None
        self._error: BaseException | None = None

    @property
    def is_settled(self) -> bool:
        return self._error is not None or (self.promise is not None and self.promise.state is not State.PENDING)

    def result(self) -> Any:
        """What it was fulfilled with.

        Raises:
            BaseException: what it was rejected with.
            AssertionError: it is not settled.
        """
        promise = self.promise
        if self._error is not None:
            raise self._error
        if promise is None or promise.state is State.PENDING:
            raise AssertionError(f"{self._what} is not settled, and nothing is left to do: it waits for something")
        if promise.state is State.REJECTED:
            raise promise.error()
        return promise.value

    def start(self, make: Callable[[], Promise[Any]]) -> None:
        """Run in the tester: take the promise that `make` gives."""
        try:
            self.promise = make()
            self.promise.mark_handled()
        except Exception as error:  # noqa: BLE001 (the test gets it)
            self._error = error

    def __repr__(self) -> str:
        return f"<Sent {self._what}: {self._error or self.promise!r}>"


class _Message:
    """A message being written, as by `E`."""

    def __init__(self, target: object, deliver: Callable[[str, Callable[[], Promise[Any]]], Any]) -> None:
        self._target = target
        self._deliver = deliver

    def __getattr__(self, method: str) -> Callable[..., Any]:
        if method.startswith("_"):
            raise AttributeError(method)
        return lambda *args, **kwargs: self._deliver(
            f"{method}()", lambda: getattr(E(self._target), method)(*args, **kwargs)
        )

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._deliver(f"{self._target!r}()", lambda: E(self._target)(*args, **kwargs))


@dataclass(frozen=True, slots=True)
class Cluster:
    """A launched cluster.

    Attributes:
        cluster: its id, such as ``c2``.
        root: the presence of the bootstrap vat's root.
        roots: the presences of all roots, by name of the vat.
        result: what ``bootstrap`` gave.
    """

    cluster: str
    root: Presence
    roots: Mapping[str, Presence]
    result: Any


class Vats:
    """A kernel in memory. A context manager; the fixture `vats` gives one.

    Attributes:
        host: the host below, for what is not offered here.
        now_ms: the time that deliveries get; it stands still but for `advance`.
    """

    def __init__(self, *, limits: Limits = DEFAULT_LIMITS, seed: str = "seed") -> None:
        self.now_ms = START_MS
        self.host = MemoryHost(limits=limits, seed=seed, now_ms=lambda: self.now_ms)
        self.host.kernel.observe(is_observed=True)
        self._names: dict[str, str] = {}
        self._events: list[dict[str, Any]] = []
        self._keys: list[str] = []
        self._tester = _Tester()
        vat = {"source": lambda *_: self._tester}
        launched = self.host.launch(*self._prepare({"bootstrap": "tester", "vats": {"tester": vat}}, {}))
        self._tester_vat, self._tester_root = launched["vats"]["tester"], launched["root"]
        self._names[self._tester_vat] = "tester"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        """Let go of all vats."""
        for key in self._keys:
            _builders.pop(key, None)
        self.host.close()

    # Vats --------------------------------------------------------------------------------------

    def start(self, source: type | Builder, **parameters: Any) -> Presence:
        """A new vat with `source` for its root; its presence.

        Args:
            source: an exo's class, made with the parameters; or a function such as ``build_root_object``.
            parameters: data, as in a cluster file.
        """
        name = source.__name__ if source.__name__.isidentifier() else "vat"
        vats = {name: {"source": source, "parameters": parameters}, "starter": {"source": lambda *_: _Starter()}}
        return self.launch({"bootstrap": "starter", "vats": vats}).roots[name]

    def launch(self, cluster: str | Path | Mapping[str, Any], files: Mapping[str, str] | None = None) -> Cluster:
        """Launch a cluster.

        Args:
            cluster: the path of a cluster file or its folder; or what a cluster file has in it, in which a ``source``
                may also be a class or function, as for `start`.
            files: the sources, if `cluster` is no path.

        Raises:
            RequestFailed: the kernel refused it, a vat did not start, or ``bootstrap`` was rejected.
        """
        if isinstance(cluster, str | Path):
            read = read_cluster(Path(cluster))
            config, files = read["config"], read["files"]
        else:
            config = cluster
        launched = self.host.launch(*self._prepare(config, files or {}))
        self.run_until_idle()
        self._names |= {vat: name for name, vat in launched["vats"].items()}
        roots = {vat["vat"]: vat["root"] for vat in self.host.request("status")["vats"]}
        result = launched["result"]
        names, slots = list(launched["vats"]), result["slots"]
        met = self._meet([*(roots[vat] for vat in launched["vats"].values()), *slots])
        by_slot = dict(zip(slots, met[len(names) :], strict=True))
        marshal = Marshal(value_to_slot=lambda _: None, slot_to_value=lambda slot, _iface, _is_promise: by_slot[slot])
        presences = dict(zip(names, met, strict=False))
        value = marshal.unserialize(CapData(result["body"], tuple(slots)))
        return Cluster(launched["cluster"], presences[config["bootstrap"]], presences, value)

    def upgrade(self, vat: str, source: str | type | Builder, **parameters: Any) -> None:
        """Give a vat new code: its durable objects stay, its root is a new one under the same reference.

        Args:
            vat: its name; the latest of that name.
            source: the text of its file; or a class or function, as for `start`.
        """
        latest = [found for found, name in self._names.items() if name == vat][-1]
        file = "upgraded.py"
        if isinstance(source, str):
            files = {file: source}
        else:
            config, files = self._prepare({"vats": {vat: {"source": source}}}, {})
            file = config["vats"][vat]["source"]
        self.host.request("upgradeVat", {"vat": latest, "files": files, "source": file, "parameters": parameters})
        self.run_until_idle()

    def _prepare(self, config: Mapping[str, Any], files: Mapping[str, str]) -> tuple[dict[str, Any], dict[str, str]]:
        """The request for `config`, with files in place of classes and functions."""
        prepared, texts = dict(config), dict(files)
        prepared["vats"] = {name: dict(vat) for name, vat in config["vats"].items()}
        for name, vat in prepared["vats"].items():
            source = vat["source"]
            if not isinstance(source, str):
                key = str(next(_keys))
                self._keys.append(key)
                _builders[key] = _make_builder(source)
                vat["source"] = f"tested/{name}.py"
                texts[vat["source"]] = _MAIN.format(key=key)
        return prepared, texts

    def _meet(self, krefs: list[str]) -> list[Any]:
        """The tester's presences and promises of these."""
        self.host.send(self._tester_root, "meet", ", ".join(krefs))
        met, self._tester.met = self._tester.met, []
        return met

    # Messages ----------------------------------------------------------------------------------

    def call(self, target: object) -> Any:
        """Send a message and get its result at once: ``vats.call(purse).deposit(5)``.

        The call raises what the message is rejected with; or AssertionError, if it waits for something.
        """
        return _Message(target, lambda what, make: self._do(what, make).result())

    def send(self, target: object) -> Any:
        """Send a message whose result may come later: ``vats.send(seat).pay(money)`` gives a `Sent`."""
        return _Message(target, self._do)

    def run(self, coroutine: CoroutineType[Any, Any, T]) -> T:
        """Run code of the test as vat code, in which `E` and ``await`` work; what it returns.

        Raises as `call` does.
        """
        result: T = self._do(coroutine.__name__, lambda: E.when(coroutine)).result()
        return result

    def _do(self, what: str, make: Callable[[], Promise[Any]]) -> Sent:
        sent = Sent(what)
        self._tester.jobs.append(lambda: sent.start(make))
        self.host.send(self._tester_root, "work")
        self.run_until_idle()
        return sent

    # The world ---------------------------------------------------------------------------------

    def run_until_idle(self) -> None:
        """Make every delivery that can be made."""
        self.host.run()

    def advance(self, duration_ms: int) -> None:
        """Let time pass."""
        self.now_ms += duration_ms
        self.run_until_idle()

    def collect(self) -> None:
        """Collect garbage: in the test, and in all vats until nothing more is found.

        What the test holds it still holds: let go of presences first.
        """
        gc.collect()
        before = -1
        while (after := self._count_references()) != before:
            before = after
            self.host.request("collectGarbage")
            self.run_until_idle()

    def _count_references(self) -> int:
        kernel = self.host.request("status")["kernel"]
        return int(kernel["objects"]) + int(kernel["promises"])

    def crash(self) -> None:
        """Let the kernel die and start again from its store. Vats come back by replay when they are next needed."""
        self._take_events()
        self.host = self.host.reopen(keep=[self._tester_vat])
        self.host.kernel.observe(is_observed=True)
        self.run_until_idle()

    # What was seen -----------------------------------------------------------------------------

    def console(self, vat: str | None = None) -> list[str]:
        """The lines that a vat has printed, errors that left it among these; by default of all vats but the tester."""
        return [line for name, line in self.events_of("Console") if name == vat or (vat is None and name != "tester")]

    def faults(self) -> list[str]:
        """What vats were ended for, as ``name: reason``."""
        return [f"{name}: {reason}" for name, reason in self.events_of("Fault")]

    def exports(self, vat: str) -> list[str]:
        """The objects of a vat that others know, its root among them, by the names of their interfaces."""
        vats = [found for found, name in self._names.items() if name == vat]
        found = [item for each in vats for item in self.host.request("objects", {"vat": each})["objects"]]
        return [item["iface"].removeprefix("Alleged: ") for item in found]

    def events_of(self, event_class: str) -> list[tuple[str, str]]:
        """Vat's name, and text or reason, of each event of a class; see `kernel_py.core.events`."""
        self._take_events()
        return [
            (self._names.get(event["vat"], event["vat"]), event.get("text", event.get("reason", "")))
            for event in self._events
            if event["class"] == event_class
        ]

    def _take_events(self) -> None:
        self._events += self.host.events
        self.host.events.clear()


class _Starter(Exo):
    """The root of the vat that starts another."""

    def bootstrap(self, vats: Any, services: Any) -> None: ...


def _make_builder(source: Any) -> Builder:
    if isinstance(source, type):
        return lambda _powers, parameters, _baggage: source(**parameters)
    builder: Builder = source
    return builder
