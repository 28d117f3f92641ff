"""What a benchmark reports: figures with units and targets, and curves, as a table and pictures."""

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
            target = f"{'<=' if self.is_less_better else '>='} {self.target:,g}"
        missed = "" if self.is_reached else "  not reached"
        return f"{self.name:<62} {self.value:>12,.1f} {self.unit:<14} {target:>10}{missed}"


@dataclass(frozen=True, slots=True)
class Curve:
    """Measurements over a count: `points` are ``(count, value)``, ascending. Less is better."""

    name: str
    points: list[tuple[int, float]]
    unit: str

    def describe(self) -> str:
        points = ", ".join(f"{count:,}: {value:,.1f}" for count, value in self.points)
        return f"{self.name}, in {self.unit}\n    {points}"


def write(reported: list[Figure | Curve], folder: Path) -> None:
    """Write ``bench.json``, ``bench.png`` with the figures, and ``curves.png`` with the curves, to `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "bench.json").write_text(json.dumps([asdict(each) for each in reported], indent=1) + "\n")
    figures = [each for each in reported if isinstance(each, Figure) and each.target is not None]
    curves = [each for each in reported if isinstance(each, Curve)]
    if figures:
        _plot_figures(figures, folder / "bench.png")
    if curves:
        _plot_curves(curves, folder / "curves.png")


def _plot_figures(figures: list[Figure], path: Path) -> None:
    """Bars relative to the target: to the right of the line is better, whatever the unit."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

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


def _plot_curves(curves: list[Curve], path: Path) -> None:
    """One panel for each curve, beginning at zero: what does not grow is level."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    fig, panels = plt.subplots(1, len(curves), figsize=(5 * len(curves), 4), layout="constrained", squeeze=False)
    for curve, axes in zip(curves, panels[0], strict=True):
        axes.plot(*zip(*curve.points, strict=True), marker="o", color="#2a7f62")
        axes.set(title=curve.name, ylabel=curve.unit, xscale="log")
        axes.set_ylim(bottom=0)
    fig.savefig(path, dpi=120)
    plt.close(fig)


_RATIO_MAX = 100
"""A figure of which less is better may be zero; the plot ends here."""


def _ratio(figure: Figure) -> float:
    assert figure.target is not None
    if not figure.is_less_better:
        return figure.value / figure.target
    return figure.target / max(figure.value, figure.target / _RATIO_MAX)
