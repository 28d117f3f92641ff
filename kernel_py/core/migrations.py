"""Migrations: stores of earlier schema versions, brought to the present one.

Owns what each version's rows looked like. A kernel that starts over an older store changes its rows in memory, and
writes them with its first commit, in one transaction: until then the store is as it was, and the older program can
still use it. Transcripts and bundles are not touched.

A store of a newer version is refused. So is one that is too old for `MIGRATIONS`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from kernel_py.core import schema
from kernel_py.wire import canonical
from kernel_py.wire.errors import StoreError

_VERSION_KEY = schema.store_key(schema.KERNEL, schema.VERSION)
_REAP_DELIVERIES_2 = 200
"""Version 2 had one number for all vats."""


def migrate(texts: Mapping[str, str]) -> dict[str, str]:
    """The rows that differ in the present version; none if the store is of it, or empty.

    Raises:
        StoreError: the store is of a version that cannot be read, or corrupt. Nothing was changed.
    """
    if not texts:
        return {}
    version = _parse_version(texts.get(_VERSION_KEY))
    changed: dict[str, str] = {}
    while version != schema.SCHEMA_VERSION:
        step = MIGRATIONS.get(version)
        if step is None:
            raise StoreError(
                f"the store has schema version {version}, this kernel reads {schema.SCHEMA_VERSION}: "
                "use the kernel that wrote it; nothing was changed"
            )
        try:
            changed.update(step({**texts, **changed}))
        except (ValueError, TypeError, LookupError) as error:
            raise StoreError(f"the store of schema version {version} is corrupt: {error}") from error
        version += 1
        changed[_VERSION_KEY] = str(version)
    return changed


def is_readable(version: object) -> bool:
    """Whether rows of this schema version can be brought to the present one."""
    return version == schema.SCHEMA_VERSION or version in MIGRATIONS


def _parse_version(text: str | None) -> int:
    if text is None:
        raise StoreError("the store has no schema version: it is not a kernel's, or is corrupt")
    if text == schema.IMPORTING:
        raise StoreError("an import into this store was not finished: import again")
    if not text.isdecimal():
        raise StoreError(f"the store's schema version is corrupt: {text:.20}")
    return int(text)


def _rows(texts: Mapping[str, str], table: str) -> list[tuple[str, str, Any]]:
    """The rows of one of the kernel's own tables, as (key, row, JSON value)."""
    start = table + "."
    return [(key, key[len(start) :], canonical.load(text)) for key, text in texts.items() if key.startswith(start)]


def _from_2(texts: Mapping[str, str]) -> dict[str, str]:
    """Transcripts are hashed from now on; each vat has its own interval for garbage."""
    changed: dict[str, str] = {}
    delivered: dict[str, int] = {}
    for key, vat, counters in _rows(texts, schema.COUNTERS):
        delivered[vat] = counters[0]
        changed[key] = canonical.dump([*counters, ""])
    for key, vat, record in _rows(texts, schema.VATS):
        command = record[9] if len(record) > 9 else []
        hashed_from = delivered.get(vat, 0) + 1
        changed[key] = canonical.dump([*record[:9], command, _REAP_DELIVERIES_2, False, hashed_from])
    return changed


MIGRATIONS: dict[int, Callable[[Mapping[str, str]], dict[str, str]]] = {2: _from_2}
"""By version, what brings its rows to the next."""
