"""Meters: how much work a vat may do, as its cluster file says, whatever the work is counted in.

A unit is an instruction of WebAssembly (gas), or a jump or call of Python's. How much a delivery has used is what
replay makes of it again, and so is what is left in a tank: neither is kept anywhere but in the vat's session.
"""

from __future__ import annotations

from dataclasses import dataclass

from kernel_py.wire import canonical
from kernel_py.wire.protocol import METERS_PATH, VatSpec


@dataclass(frozen=True, slots=True)
class MeterConfig:
    """What a vat may use.

    Attributes:
        delivery: units for one delivery.
        tank: units for all messages together, until there is a refill; None if each delivery stands alone.
        refill_per_second: units that flow into the tank in each second between deliveries, by their own times.
    """

    delivery: int
    tank: int | None = None
    refill_per_second: int = 0


def find_meter(spec: VatSpec) -> MeterConfig | None:
    """The meter of a vat, by its name, or else by its source file; None if it has none."""
    meters = canonical.load(spec.files.get(METERS_PATH, "{}"))
    fields = meters.get(spec.name, meters.get(spec.main))
    return None if fields is None else MeterConfig(**fields)


class Tank:
    """What is left for one incarnation of a vat. `open` and `close` enclose each delivery."""

    def __init__(self, config: MeterConfig) -> None:
        self._config = config
        self._milliunits = None if config.tank is None else config.tank * 1000
        self._time_ms: int | None = None

    @property
    def left(self) -> int | None:
        """Units in the tank; None if there is none."""
        return None if self._milliunits is None else self._milliunits // 1000

    def dump(self) -> list[int | None]:
        """The level, for `load`."""
        return [self._milliunits, self._time_ms]

    def load(self, level: list[int | None]) -> None:
        """Be as full as when `level` was dumped."""
        self._milliunits, self._time_ms = level

    def open(self, time_ms: int, *, is_message: bool) -> int:
        """What the delivery that begins may use.

        An empty tank holds up messages only: promises settle, and garbage goes.
        """
        config = self._config
        if self._milliunits is None or config.tank is None:
            return config.delivery
        passed_ms = 0 if self._time_ms is None else max(0, time_ms - self._time_ms)
        self._time_ms = time_ms
        self._milliunits = min(config.tank * 1000, self._milliunits + passed_ms * config.refill_per_second)
        return min(config.delivery, self._milliunits // 1000) if is_message else config.delivery

    def close(self, used: int) -> None:
        """The delivery is over, and has used so much."""
        if self._milliunits is not None:
            self._milliunits = max(0, self._milliunits - used * 1000)
