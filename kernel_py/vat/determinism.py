"""A clock and entropy that replay equally (first version: no replacements yet)."""

from __future__ import annotations

from types import ModuleType


class Ambient:
    def __init__(self) -> None:
        self.replacements: dict[str, ModuleType] = {}

    def start(self, seed: str, vat: str) -> None: ...

    def begin(self, number: int, time_ms: int) -> None: ...
