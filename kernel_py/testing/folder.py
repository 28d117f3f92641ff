"""Clusters as they lie in a folder: a cluster file, Python files, wheels."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

CLUSTER_FILE = "cluster.json"


def read_cluster(path: str | Path) -> tuple[dict[str, Any], dict[str, str]]:
    """The config of a cluster, and its files, as a launch request takes them: wheels as base64.

    Args:
        path: the cluster file, or the folder with a ``cluster.json``. All files below the folder are its own.
    """
    path = Path(path)
    config_file = path / CLUSTER_FILE if path.is_dir() else path
    folder = config_file.parent
    files = {found.relative_to(folder).as_posix(): found.read_text("utf-8") for found in sorted(folder.rglob("*.py"))}
    for found in sorted(folder.rglob("*.whl")):
        files[found.relative_to(folder).as_posix()] = base64.b64encode(found.read_bytes()).decode()
    return json.loads(config_file.read_text("utf-8")), files
