"""The meter of services: what vats have spent on them, and what they may spend in one delivery.

A service says what a call costs (`HostService.gas`), before it is carried out and whoever carries it out: a fake costs
the same. The charge is part of the crank that made the call: it is undone with it.

What runs inside a vat is measured there, by its own meter.

Owns the table ``gas``.
"""

from __future__ import annotations

from typing import Protocol

from kernel_py.core import schema
from kernel_py.core.schema import Gas
from kernel_py.core.state import KernelState
from kernel_py.wire.limits import Limits


class Meter(Protocol):
    def charge(self, vat: str, gas: int) -> None:
        """Add to what a living vat has spent.

        Raises:
            RuntimeError: that is more than it may; nothing is charged, and the call is rejected with it.
        """

    def find_spent(self, vat: str) -> int:
        """All that a living vat has spent so far."""


class GasMeter:
    """Keeps count in the kernel's state."""

    def __init__(self, state: KernelState, limits: Limits) -> None:
        self._state = state
        self._limits = limits

    def charge(self, vat: str, gas: int) -> None:
        row = self._find(vat)
        crank: int = self._state.get(schema.KERNEL, schema.CRANKS) or 0
        in_crank = gas + (row.in_crank if row.crank == crank else 0)
        if in_crank > self._limits.service_gas_max:
            limit = f"a delivery may spend {self._limits.service_gas_max:,} gas on services"
            raise RuntimeError(f"out of gas: {limit}, and with this call it would be {in_crank:,}")
        self._state.set(schema.GAS, vat, Gas(row.spent + gas, crank, in_crank))

    def find_spent(self, vat: str) -> int:
        return self._find(vat).spent

    def _find(self, vat: str) -> Gas:
        row = self._state.get(schema.GAS, vat)
        return Gas(0, 0, 0) if row is None else row
