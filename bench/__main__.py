"""``python -m bench [native] [growth] [wasm] [realms] [browser]``: measure, print, and leave files in ``out/``."""

from __future__ import annotations

import gc
import sys
from pathlib import Path

from bench import browser, growth, native, realms, wasm
from bench.figures import Curve, Figure, write

PARTS = {
    "native": native.measure,
    "growth": growth.measure,
    "wasm": wasm.measure,
    "realms": realms.measure,
    "browser": browser.measure,
}
OUT = Path(__file__).resolve().parent.parent / "out"


def main(names: list[str]) -> int:
    unknown = [name for name in names if name not in PARTS]
    if unknown:
        print(f"unknown benchmark {unknown[0]!r}; there are: {', '.join(PARTS)}", file=sys.stderr)
        return 2
    reported: list[Figure | Curve] = []

    def report(each: Figure | Curve) -> None:
        reported.append(each)
        print(each.describe(), flush=True)

    gc.collect()
    gc.freeze()  # a realm of its own has done so too: what the benchmarks have imported is no vat's garbage

    for name in names or PARTS:
        PARTS[name](report)
    write(reported, OUT)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
