"""The clusters of examples/, as a launch request takes them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kernel_py.testing import read_cluster

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"


def read_example(name: str, kinds: Mapping[str, str] | None = None) -> dict[str, Any]:
    """The ``config`` and ``files`` of an example; `kinds` gives vats other realms than the cluster file does."""
    config, files = read_cluster(EXAMPLES / name)
    for vat, kind in (kinds or {}).items():
        config["vats"][vat]["kind"] = kind
    return {"config": config, "files": files}
