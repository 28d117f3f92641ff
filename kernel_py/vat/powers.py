"""Powers: what a vat's code gets besides its references: its name, the time of the delivery, and the way out."""

from __future__ import annotations

from typing import final

from kernel_py.vat.liveslots import Liveslots


@final
class Powers:
    """The first argument of ``build_root_object``. Not passable.

    Attributes:
        vat_name: the vat's name in its cluster.
    """

    def __init__(self, vat_name: str, liveslots: Liveslots) -> None:
        self.vat_name = vat_name
        self._liveslots = liveslots
        self._time_ms = 0

    @property
    def now_ms(self) -> int:
        """The time of this delivery, in milliseconds since 1970 UTC. It stands still during a delivery."""
        return self._time_ms

    def time_ms(self) -> int:
        """The same as `now_ms`."""
        return self._time_ms

    def exit(self, reason: object = "") -> None:
        """End this vat when the delivery is over. What it did is kept; what it owes is rejected with `reason`."""
        self._liveslots.exit(reason, is_failure=False)

    def exit_with_failure(self, reason: object) -> None:
        """End this vat when the delivery is over, and drop everything that this delivery did."""
        self._liveslots.exit(reason, is_failure=True)

    def _begin(self, time_ms: int) -> None:
        self._time_ms = time_ms
