"""The clusters of examples/, as a launch request takes them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"


def read_example(name: str, kinds: Mapping[str, str] | None = None) -> dict[str, Any]:
    """The ``config`` and ``files`` of an example; `kinds` gives vats other realms than the cluster file does."""
    folder = EXAMPLES / name
    config = json.loads((folder / "cluster.json").read_text())
    for vat, kind in (kinds or {}).items():
        config["vats"][vat]["kind"] = kind
    return {"config": config, "files": {path.name: path.read_text() for path in sorted(folder.glob("*.py"))}}
