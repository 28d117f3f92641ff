"""What a benchmark reports: figures with units and targets, as a table and a picture."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Figure:
    """One measurement. `target` is the least that is wanted, or the most if `is_less_better`; None if none is set."""

    name: str
    value: float
    unit: str
    target: float | None = None
    is_less_better: bool = False

    @property
    def is_reached(self) -> bool:
        if self.target is None:
            return True
        return self.value <= self.target if self.is_less_better else self.value >= self.target

    def describe(self) -> str:
        target = ""
        if self.target is not None:
            target = f"{'<=' if self.is_less_better else '>='} {self.target:,.0f}"
        missed = "" if self.is_reached else "  not reached"
        return f"{self.name:<62} {self.value:>12,.1f} {self.unit:<14} {target:>10}{missed}"


def write(figures: list[Figure], folder: Path) -> None:
    """Write ``bench.json`` and ``bench.png`` to `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "bench.json").write_text(json.dumps([asdict(figure) for figure in figures], indent=1) + "\n")
    _plot([figure for figure in figures if figure.target is not None], folder / "bench.png")


def _plot(figures: list[Figure], path: Path) -> None:
    """Bars relative to the target: to the right of the line is better, whatever the unit."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    if not figures:
        return
    names = [f"{figure.name}: {figure.value:,.0f} {figure.unit}" for figure in figures]
    ratios = [_ratio(figure) for figure in figures]
    colours = ["#2a7f62" if figure.is_reached else "#b3412f" for figure in figures]
    fig, axes = plt.subplots(figsize=(10, 0.45 * len(figures) + 1), layout="constrained")
    axes.barh(names, ratios, color=colours)
    axes.axvline(1, color="black", linewidth=1)
    axes.set_xlabel("times the target (more is better)")
    axes.set_xscale("log")
    axes.invert_yaxis()
    fig.savefig(path, dpi=120)
    plt.close(fig)


_RATIO_MAX = 100
"""A figure of which less is better may be zero; the plot ends here."""


def _ratio(figure: Figure) -> float:
    assert figure.target is not None
    if not figure.is_less_better:
        return figure.value / figure.target
    return figure.target / max(figure.value, figure.target / _RATIO_MAX)
