"""Parts: what a kernel is built from, beyond what is its own.

Each field is a factory, called once with what it may need. Replacing one leaves the others as they are: no part names
the class of another, and all that a part is asked passes through the kernel's interceptors, wherever it is asked.

Store, clock and worker kinds are the host's, and are given to it in the same way.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from kernel_py.core.cranks import Handlers
from kernel_py.core.crypto import Crypto, Sha2
from kernel_py.core.meter import GasMeter, Meter
from kernel_py.core.promises import Promises
from kernel_py.core.services.entropy import RandomService
from kernel_py.core.services.logs import LogService
from kernel_py.core.services.service import LocalService
from kernel_py.core.shared import Shared
from kernel_py.core.state import KernelState
from kernel_py.wire.limits import Limits

MakeService = Callable[[Shared, Promises], LocalService]


def _make_log(shared: Shared, _promises: Promises) -> LocalService:
    return LogService(shared.log)


def _make_random(shared: Shared, _promises: Promises) -> LocalService:
    return RandomService(shared)


def _keep(handlers: Handlers) -> Handlers:
    return handlers


@dataclass(frozen=True, slots=True)
class Parts:
    """Factories.

    Attributes:
        syscalls: is given the kernel's handlers by name, and gives those to use.
        services: local services besides ``timer`` and ``vat_admin``, which are the kernel's own.
    """

    crypto: Callable[[], Crypto] = Sha2
    meter: Callable[[KernelState, Limits], Meter] = GasMeter
    syscalls: Callable[[Handlers], Handlers] = _keep
    services: tuple[MakeService, ...] = (_make_log, _make_random)


DEFAULT_PARTS = Parts()
