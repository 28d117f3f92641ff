"""What a host may have to look at vats' sources, where that takes longer than a crank may."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol


class Sources(Protocol):
    """Looks at what vats are made of."""

    async def check(self, kind: str, source: str, files: Mapping[str, str]) -> None:
        """Check a vat's main file, and what belongs to it, before the vat is accepted.

        Raises:
            KernelError: it cannot be a vat; what asked for it is refused with this.
        """

    async def prepare(self, kind: str, source: str, files: Mapping[str, str]) -> None:
        """Make ready what a realm needs to be this vat, which was accepted.

        Raises:
            KernelError: that cannot be done; the vat stays broken until it is restarted.
        """
