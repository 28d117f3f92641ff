"""The state of a guest between two deliveries, as bytes, and back.

A guest that is at rest is its memory, its mutable globals, its vat store and its tank; of a module whose state is
elsewhere too (`Metered.has_hidden_state`: tables that change, segments that are dropped, globals that are no
integers) no snapshot is taken. The same state gives the same bytes, on every engine: their digest is a number that
two machines can compare.

    one line of JSON: {"version", "module", "memory_bytes", "globals", "chunks", "store", "tank"}
    the chunks of 4 KiB that are not all zero, one after the other

``module`` is the digest of the instrumented module, ``globals`` are in the order of `Metered.state`, ``chunks`` are
indices, ``store`` is the vat store's pairs in order, ``tank`` what `Tank.dump` gave, or null.
"""

from __future__ import annotations

from typing import Any, Protocol

from kernel_py.wasm.engine import Instance
from kernel_py.wasm.metering import Metered
from kernel_py.wire import canonical
from kernel_py.wire.errors import HostFault
from kernel_py.wire.meters import Tank

SNAPSHOT_VERSION = 2
CHUNK_BYTES = 4_096
_ZERO = bytes(CHUNK_BYTES)


class SnapshotError(HostFault):
    """A snapshot cannot be taken, or does not fit."""


class SnapshotStore(Protocol):
    """What a snapshot needs of a vat store."""

    def get(self, key: str) -> str | None: ...
    def set(self, key: str, value: str) -> None: ...
    def get_next_key(self, prior: str) -> str | None: ...


def take_snapshot(instance: Instance, module: Metered, store: SnapshotStore, tank: Tank | None = None) -> bytes:
    """The state of a guest at rest. Nothing changes.

    Raises:
        SnapshotError: some of the module's state cannot be taken.
    """
    if module.has_hidden_state:
        raise SnapshotError("this module has state that is neither in its memory nor in its integer globals")
    memory = instance.read(0, instance.memory_bytes())
    chunks = [index for index in range(len(memory) // CHUNK_BYTES) if _chunk(memory, index) != _ZERO]
    head = {
        "version": SNAPSHOT_VERSION,
        "module": module.digest,
        "memory_bytes": len(memory),
        "globals": [instance.get_global(each.name) for each in module.state],
        "chunks": chunks,
        "store": _pairs(store),
        "tank": None if tank is None else tank.dump(),
    }
    return canonical.dump(head).encode() + b"\n" + b"".join(_chunk(memory, index) for index in chunks)


def restore_snapshot(
    data: bytes, instance: Instance, module: Metered, store: SnapshotStore, tank: Tank | None = None
) -> None:
    """Put a state into a fresh instance of the same module, none of whose code ran, and into an empty store.

    Raises:
        SnapshotError: the snapshot is of another module, of another version, or damaged. The instance is of no use.
    """
    head_text, _, chunks = data.partition(b"\n")
    head = _parse_head(head_text, module)
    if len(chunks) != len(head["chunks"]) * CHUNK_BYTES:
        raise SnapshotError("the snapshot is damaged: its chunks are not all there")
    instance.grow_memory(head["memory_bytes"])
    if instance.memory_bytes() != head["memory_bytes"]:
        raise SnapshotError(f"there is no room for {head['memory_bytes']:,} bytes of memory")
    _write_memory(instance, head["chunks"], chunks)
    for each, value in zip(module.state, head["globals"], strict=True):
        instance.set_global(each.name, value)
    for key, value in head["store"]:
        store.set(key, value)
    if tank is not None and head["tank"] is not None:
        tank.load(head["tank"])


def _parse_head(text: bytes, module: Metered) -> dict[str, Any]:
    try:
        head = canonical.load(text.decode())
    except (ValueError, RecursionError) as error:
        raise SnapshotError(f"the snapshot is damaged: {error}") from error
    match head:
        case {
            "version": 2,
            "module": str(digest),
            "memory_bytes": int(),
            "globals": list(values),
            "chunks": list(),
            "store": list(),
            "tank": None | [_, _],
        }:
            if digest != module.digest:
                raise SnapshotError(f"the snapshot is of the module {digest}, and this one is {module.digest}")
            if len(values) == len(module.state):
                return dict(head)
        case _:
            pass
    raise SnapshotError("the snapshot is damaged, or of another version")


def _write_memory(instance: Instance, indices: list[int], chunks: bytes) -> None:
    """Write the chunks, and zeros where the module's own data lie and the guest had none any more."""
    memory = instance.read(0, instance.memory_bytes())
    wanted = {index: chunks[at * CHUNK_BYTES : (at + 1) * CHUNK_BYTES] for at, index in enumerate(indices)}
    for index in range(len(memory) // CHUNK_BYTES):
        chunk = wanted.get(index, _ZERO)
        if _chunk(memory, index) != chunk:
            instance.write(index * CHUNK_BYTES, chunk)


def _chunk(memory: bytes, index: int) -> bytes:
    return memory[index * CHUNK_BYTES : (index + 1) * CHUNK_BYTES]


def _pairs(store: SnapshotStore) -> list[tuple[str, str]]:
    pairs: list[tuple[str, str]] = []
    key: str | None = ""
    while key is not None:
        value = store.get(key)
        if value is not None:
            pairs.append((key, value))
        key = store.get_next_key(key)
    return pairs
