"""The oracle: @endo/marshal in Node, asked through ``smallcaps.mjs``."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from kernel_py.wire.capdata import CapData

ORACLE = Path(__file__).with_name("smallcaps.mjs")


def ask(
    *,
    encode: list[dict[str, Any]] | None = None,
    decode: list[CapData] | None = None,
    make: tuple[int, int] = (0, 0),
) -> dict[str, list[Any]]:
    """Ask @endo/marshal to encode descriptions, decode capdata, and make values of its own.

    Args:
        encode: records ``{"value": description, "ids": bool}``.
        decode: capdata, answered by descriptions or by ``{"refused": why}``.
        make: a seed, and how many values to make of it.
    """
    request = {
        "encode": encode or [],
        "decode": [data.to_json() for data in decode or []],
        "make": {"seed": make[0], "count": make[1]},
    }
    process = subprocess.run(
        ["node", str(ORACLE)],
        input=json.dumps(request),
        capture_output=True,
        encoding="utf-8",
        check=False,
        timeout=120,
    )
    assert process.returncode == 0, process.stderr[-4000:]
    answer: dict[str, list[Any]] = json.loads(process.stdout)
    return answer
