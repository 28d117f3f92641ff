"""The clusters of examples/, as a launch request takes them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kernel_py.hosts.native.cluster_files import read_cluster

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"


def read_example(name: str, kinds: Mapping[str, str] | None = None) -> dict[str, Any]:
    """The ``config`` and ``files`` of an example; `kinds` gives vats other realms than the cluster file does."""
    example = read_cluster(EXAMPLES / name)
    for vat, kind in (kinds or {}).items():
        example["config"]["vats"][vat]["kind"] = kind
    return example
