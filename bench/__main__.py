"""``python -m bench [native] [wasm] [browser]``: measure, print, and leave ``out/bench.json`` and ``out/bench.png``."""

from __future__ import annotations

import sys
from pathlib import Path

from bench import browser, native, wasm
from bench.figures import Figure, write

PARTS = {"native": native.measure, "wasm": wasm.measure, "browser": browser.measure}
OUT = Path(__file__).resolve().parent.parent / "out"


def main(names: list[str]) -> int:
    unknown = [name for name in names if name not in PARTS]
    if unknown:
        print(f"unknown benchmark {unknown[0]!r}; there are: {', '.join(PARTS)}", file=sys.stderr)
        return 2
    figures: list[Figure] = []

    def report(figure: Figure) -> None:
        figures.append(figure)
        print(figure.describe(), flush=True)

    for name in names or PARTS:
        PARTS[name](report)
    write(figures, OUT)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
