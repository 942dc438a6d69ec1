"""Curves of what `eval.bench.accuracy` measured, over theta_beta."""

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import NullLocator

from eval.bench.accuracy_measures import Row

PANELS = (
    ("raw scale", "raw scale (1 is exact)", 1.0),
    ("normalized error", "normalized error, %", 100.0),
    ("equal labels", "labels equal to exact mean field, %", 100.0),
)
DPI = 130


def accuracy_figure(rows: Sequence[Row]) -> Figure:
    """Panels for the rows of appearance kernels: a line of panels for each unary, a color for each theta_alpha."""
    names = list(dict.fromkeys(row["unary"] for row in rows))
    figure = Figure(figsize=(4.2 * len(PANELS), 3.6 * len(names) + 0.6), dpi=DPI)
    figure.set_layout_engine(ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.08))
    grid = figure.subplots(len(names), len(PANELS), squeeze=False, sharex=True, sharey="col")
    for line_of_axes, name in zip(grid, names, strict=True):
        for axes, panel in zip(line_of_axes, PANELS, strict=True):
            _panel(axes, [row for row in rows if row["unary"] == name], *panel)
            axes.set_title(f"{panel[1]}\n{name} unaries", fontsize=10)
    for axes in grid[-1]:
        axes.set_xlabel("theta_beta, gray levels")
    lines = grid[0, 0].get_lines()
    figure.legend(handles=lines, loc="outside lower center", ncols=len(lines) // 2, frameon=False, fontsize=9)
    return figure


def _panel(axes: Axes, rows: Sequence[Row], name: str, title: str, factor: float) -> None:
    betas = sorted({row["thetas"][1] for row in rows})
    for index, alpha in enumerate(sorted({row["thetas"][0] for row in rows})):
        for dilate in (False, True):
            of_line = [row for row in rows if row["thetas"][0] == alpha and row["dilate"] == dilate]
            _line(axes, of_line, name, factor, color=f"C{index}", dilate=dilate, label=f"theta_alpha {alpha:g}")
    axes.set_xscale("log")
    axes.set_xticks(betas, [f"{beta:g}" for beta in betas])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.tick_params(labelbottom=True, labelleft=True)
    axes.grid(True, color="0.9")


def _line(axes: Axes, rows: Sequence[Row], name: str, factor: float, *, color: str, dilate: bool, label: str) -> None:
    style: dict[str, Any] = {"linestyle": "--", "markerfacecolor": "white"} if dilate else {"linestyle": "-"}
    points = sorted((row["thetas"][1], factor * row[name]) for row in rows)
    label = f"{label}, dilate" if dilate else label
    axes.plot(*zip(*points, strict=True), color=color, marker="o", markersize=4, label=label, **style)
