"""Bundles: source files, kept as long as a living cluster or vat needs them.

Owns the count of users of each bundle. A vat uses the bundle of every incarnation it has had, since it may have to be
replayed from its first delivery.
"""

from __future__ import annotations

from kernel_py.core import schema
from kernel_py.core.crypto import Crypto
from kernel_py.core.state import KernelState
from kernel_py.wire.errors import KernelBug


class Bundles:
    """The bundle table over one state."""

    def __init__(self, state: KernelState, crypto: Crypto) -> None:
        self._state = state
        self._crypto = crypto

    def add(self, text: str) -> str:
        """Store a bundle for one more user; its id."""
        bundle = f"b1-{self._crypto.digest(text)}"
        if self._state.get(schema.BUNDLES, bundle) is None:
            self._state.add_bundle(bundle, text)
            self._state.set(schema.BUNDLES, bundle, 0)
        self.take(bundle)
        return bundle

    def take(self, bundle: str) -> None:
        """One more user of a bundle that has some."""
        self._state.set(schema.BUNDLES, bundle, self._count(bundle) + 1)

    def drop(self, bundle: str) -> None:
        """One user less; without any, it is deleted."""
        count = self._count(bundle)
        if count > 1:
            self._state.set(schema.BUNDLES, bundle, count - 1)
        else:
            self._state.delete(schema.BUNDLES, bundle)
            self._state.drop_bundle(bundle)

    def _count(self, bundle: str) -> int:
        count = self._state.get(schema.BUNDLES, bundle)
        if count is None:
            raise KernelBug(f"no bundle {bundle}")
        return int(count)
