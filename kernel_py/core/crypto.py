"""What the kernel needs of cryptography: names for contents, and numbers that nobody can foresee.

Other than the kernel's own is for tests: a store that was written with one kind is of no use with another.
"""

from __future__ import annotations

import hashlib
from typing import Protocol


class Crypto(Protocol):
    """Deterministic: both are functions of their arguments."""

    def digest(self, text: str) -> str:
        """64 hex digits; nobody finds two texts with the same."""

    def expand(self, text: str, count: int) -> bytes:
        """So many bytes, which tell nothing about `text`. Lone surrogates are allowed in it."""


class Sha2:
    """SHA-256, and SHAKE-256 for more."""

    def digest(self, text: str) -> str:
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()

    def expand(self, text: str, count: int) -> bytes:
        return hashlib.shake_256(text.encode("utf-8", "surrogatepass")).digest(count)
