"""What one delivery did: what every kind of vat tells its session."""

from __future__ import annotations

from typing import Any, NamedTuple


class Outcome(NamedTuple):
    """What a delivery did.

    Attributes:
        error: why the vat could not carry it out at all; None if it was carried out.
        syscalls: in JSON form, in order; none if there is an error.
        console: lines for the log.
        poison: why the delivery was stopped in the middle, by its meter or a trap; else None. The vat is then as it was
            before the delivery as far as the kernel is concerned, and what is left of it here is of no use.
        meter: units that the delivery has used, and those in the vat's tank, if it has one; None without a meter.
    """

    error: str | None
    syscalls: list[list[Any]]
    console: list[str]
    poison: str | None = None
    meter: tuple[int, int | None] | None = None
