"""What of the standard library is in a realm's memory before its vat's code is: what vats are likely to import."""

from __future__ import annotations

import importlib
from typing import Final

PRELOADED: Final = (
    "asyncio",
    "base64",
    "bisect",
    "collections",
    "contextlib",
    "copy",
    "dataclasses",
    "datetime",
    "decimal",
    "enum",
    "fractions",
    "functools",
    "hashlib",
    "heapq",
    "itertools",
    "json",
    "math",
    "operator",
    "random",
    "re",
    "sqlite3",
    "statistics",
    "string",
    "struct",
    "textwrap",
    "time",
    "typing",
    "uuid",
)


def preload() -> None:
    """Import all of it."""
    for name in PRELOADED:
        importlib.import_module(name)
