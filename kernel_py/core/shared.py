"""What all parts of one kernel share: its state and the tables over it."""

from __future__ import annotations

from dataclasses import dataclass

from kernel_py.core.crypto import Crypto
from kernel_py.core.events import Log
from kernel_py.core.interceptors import Interceptors
from kernel_py.core.meter import Meter
from kernel_py.core.queues import Queues
from kernel_py.core.references import References
from kernel_py.core.state import KernelState
from kernel_py.wire.limits import Limits


@dataclass(frozen=True, slots=True)
class Shared:
    """Made once by `Kernel`; every part keeps it and owns what its module says."""

    state: KernelState
    references: References
    queues: Queues
    log: Log
    limits: Limits
    interceptors: Interceptors
    crypto: Crypto
    meter: Meter
