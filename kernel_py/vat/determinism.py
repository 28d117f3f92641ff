"""A clock and entropy that replay equally.

A delivery's clock stands still at the time that the kernel recorded for it. Entropy is a stream of bytes made from the
kernel's seed, the vat and the delivery's number; it seeds every unseeded ``Random()``. The functions of ``random`` are
seeded once, from the kernel's seed and the vat; their state then lives in the vat's heap like any other. Time zones
are UTC.

There are two ways by which vat code comes to see them instead of the machine's:

* `install_determinism` patches the modules of the process, for a realm that is one vat's alone. It holds for all code
  in the realm. Below Python the realm itself should have no other clock either: its host fixes ``Date.now``,
  ``performance.now`` and ``crypto.getRandomValues``, and the time zone.
* An `Ambient` made without it gives the vat's own files replaced modules (``import time``, ``random``, ``datetime``,
  ``os``, ``secrets``, ``uuid``) and leaves the process alone, for a host with many vats in one process. It does not
  reach other code: a library that a vat imports, the order of a ``set`` of texts where the process has a random hash
  seed, or addresses in ``repr``. What such code makes of it shows as a difference at replay.
"""

from __future__ import annotations

import calendar
import datetime as dt
import hashlib
import random
import secrets
import time
import uuid
from collections.abc import Callable
from importlib import import_module
from types import ModuleType
from typing import Any, NoReturn

_BLOCK_BYTES = 32


class Ambient:
    """The clock and entropy of one vat. Set at the start of every delivery.

    Attributes:
        time_ms: the time of the delivery, in milliseconds since 1970 UTC.
    """

    def __init__(self) -> None:
        self.time_ms = 0
        self._origin = b"image"
        self._key = b""
        self._rest = b""
        self._blocks = 0
        self._is_installed = False
        self._replaced: dict[str, ModuleType] = {}
        self._seeders: list[Callable[[], None]] = []

    def start(self, seed: str, vat: str) -> None:
        """Be the ambient of `vat`, under a kernel whose seed is `seed`."""
        self._origin = hashlib.sha256(f"{seed}|{vat}".encode()).digest()
        self.begin(0, 0)
        for reseed in self._seeders:
            reseed()

    def begin(self, number: int, time_ms: int) -> None:
        """Delivery `number` begins, at `time_ms`."""
        self.time_ms = time_ms
        self._key = b"%b|%d|" % (self._origin, number)
        self._rest = b""
        self._blocks = 0

    def entropy(self, size_bytes: int, /) -> bytes:
        """The next bytes of this delivery's stream: what ``os.urandom`` gives."""
        if size_bytes < 0:
            raise ValueError("negative argument not allowed")
        while len(self._rest) < size_bytes:
            self._rest += hashlib.sha256(self._key + b"%d" % self._blocks).digest()
            self._blocks += 1
        taken, self._rest = self._rest[:size_bytes], self._rest[size_bytes:]
        return taken

    def replace(self, module: ModuleType) -> ModuleType:
        """What a vat's file gets that imports `module`: itself, or a copy with this clock and entropy."""
        name = module.__name__
        if self._is_installed or name not in _PATCHES:
            return module
        replaced = self._replaced.get(name)
        if replaced is None:
            replaced = self._replaced[name] = self._make_copy(module)
            _PATCHES[name](self, replaced)
        return replaced

    def install(self) -> None:
        """Patch the modules of this process. See `install_determinism`."""
        self._is_installed = True
        for name, patch in _PATCHES.items():
            patch(self, import_module(name))

    def seed(self, purpose: str) -> int:
        """A number of this vat's own, the same in every delivery: what lasts for its life starts from it."""
        return int.from_bytes(hashlib.sha256(b"%b|%b" % (self._origin, purpose.encode())).digest(), "big")

    def on_start(self, reseed: Callable[[], None]) -> None:
        """Call `reseed` now, and again when the vat is known."""
        reseed()
        self._seeders.append(reseed)

    def _make_copy(self, module: ModuleType) -> ModuleType:
        copied = ModuleType(module.__name__, module.__doc__)
        loader = module.__spec__.loader if module.__spec__ else None
        if module in _REEXECUTED and hasattr(loader, "get_code"):
            copied.__dict__["__builtins__"] = {**vars(__import__("builtins")), "__import__": self._import}
            exec(loader.get_code(module.__name__), copied.__dict__)  # type: ignore[union-attr]  # noqa: S102 (the standard library's own code)
        else:
            copied.__dict__.update(module.__dict__)
        return copied

    def _import(self, name: str, *args: Any) -> ModuleType:
        return self.replace(__import__(name, *args))


def install_determinism() -> Ambient:
    """Give this process one vat's clock and entropy, for good. For realms, before any of the vat's code is there."""
    ambient = Ambient()
    ambient.install()
    ambient.begin(0, 0)
    return ambient


# What is patched -------------------------------------------------------------------------------


def _patch_time(ambient: Ambient, module: Any) -> None:
    def now_s(*_clock: object) -> float:
        return ambient.time_ms / 1000

    def now_ns(*_clock: object) -> int:
        return ambient.time_ms * 1_000_000

    gmtime, asctime, strftime = module.gmtime, module.asctime, module.strftime

    def broken_down(seconds: float | None = None, /) -> time.struct_time:
        moment: time.struct_time = gmtime(now_s() if seconds is None else seconds)
        return moment

    def sleep(seconds: float, /) -> NoReturn:  # noqa: ARG001
        raise RuntimeError(
            "a vat has no clock of its own, so it cannot wait for time to pass: "
            "ask for the 'timer' service in the cluster config and await a promise of it"
        )

    for name in ("time", "monotonic", "perf_counter", "process_time", "thread_time", "clock_gettime"):
        if hasattr(module, name):
            setattr(module, name, now_s)
            setattr(module, f"{name}_ns", now_ns)
    module.sleep = sleep
    module.gmtime = module.localtime = broken_down
    module.mktime = lambda moment: float(calendar.timegm(moment))
    module.ctime = lambda seconds=None: asctime(broken_down(seconds))
    module.asctime = lambda moment=None: asctime(broken_down() if moment is None else moment)
    module.strftime = lambda form, moment=None: strftime(form, broken_down() if moment is None else moment)
    module.timezone = module.altzone = module.daylight = 0
    module.tzname = ("UTC", "UTC")
    module.tzset = lambda: None


def _patch_os(ambient: Ambient, module: Any) -> None:
    module.urandom = ambient.entropy
    if hasattr(module, "getrandom"):
        module.getrandom = lambda size, flags=0: ambient.entropy(size)  # noqa: ARG005


def _patch_random(ambient: Ambient, module: Any) -> None:
    module._urandom = ambient.entropy  # noqa: SLF001
    original = module.Random.seed

    def seed(self: Any, a: Any = None, version: int = 2) -> None:
        original(self, int.from_bytes(ambient.entropy(_BLOCK_BYTES), "big") if a is None else a, version)

    module.Random.seed = seed
    module.seed = module._inst.seed  # noqa: SLF001
    ambient.on_start(lambda: module._inst.seed(ambient.seed("random")))  # noqa: SLF001


def _patch_uuid(ambient: Ambient, module: Any) -> None:
    module._generate_time_safe = module._UuidCreate = None  # noqa: SLF001
    module._last_timestamp = None  # noqa: SLF001

    def set_node() -> None:
        # With the multicast bit: not the address of any machine.
        module._node = ambient.seed("uuid") % 2**48 | 2**40  # noqa: SLF001

    ambient.on_start(set_node)


def _patch_secrets(ambient: Ambient, module: Any) -> None:
    """Nothing more to do: it asks ``random.SystemRandom``, which asks ``_urandom``."""


def _patch_datetime(ambient: Ambient, module: Any) -> None:
    utc = dt.UTC

    class _Kind(type):
        """Lets instances of the real classes, made by C code, count as instances of these."""

        def __instancecheck__(cls, instance: object) -> bool:
            return isinstance(instance, cls.__mro__[1])

        def __subclasscheck__(cls, subclass: type) -> bool:
            return issubclass(subclass, cls.__mro__[1])

    class date(dt.date, metaclass=_Kind):  # noqa: N801 (stands for the class of that name)
        @classmethod
        def today(cls) -> date:
            return cls.fromtimestamp(ambient.time_ms / 1000)

        @classmethod
        def fromtimestamp(cls, timestamp: float, /) -> date:
            moment = dt.datetime.fromtimestamp(timestamp, utc)
            return cls(moment.year, moment.month, moment.day)

    class datetime(dt.datetime, metaclass=_Kind):  # noqa: N801 (stands for the class of that name)
        @classmethod
        def now(cls, tz: dt.tzinfo | None = None) -> datetime:
            return cls.fromtimestamp(ambient.time_ms / 1000, tz)

        @classmethod
        def today(cls) -> datetime:
            return cls.now()

        @classmethod
        def utcnow(cls) -> datetime:
            return cls.now()

        @classmethod
        def fromtimestamp(cls, timestamp: float, tz: dt.tzinfo | None = None) -> datetime:
            moment = super().fromtimestamp(timestamp, utc if tz is None else tz)
            return moment.replace(tzinfo=None) if tz is None else moment

        def timestamp(self) -> float:
            return super().timestamp() if self.tzinfo else self.replace(tzinfo=utc).timestamp()

        def astimezone(self, tz: dt.tzinfo | None = None) -> datetime:
            aware = self if self.tzinfo else self.replace(tzinfo=utc)
            return super(datetime, aware).astimezone(utc if tz is None else tz)

    for replacement in (date, datetime):
        replacement.__module__ = "datetime"
        replacement.__qualname__ = replacement.__name__
    module.date = date
    module.datetime = datetime


_PATCHES: dict[str, Callable[[Ambient, Any], None]] = {
    "time": _patch_time,
    "os": _patch_os,
    "random": _patch_random,
    "secrets": _patch_secrets,
    "uuid": _patch_uuid,
    "datetime": _patch_datetime,
}
_REEXECUTED = (random, secrets, uuid)
"""Modules written in Python: copied by running their code again, with imports that are replaced as well."""
