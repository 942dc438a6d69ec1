"""Curves of the growth sections of `eval.bench.speed`, log-log, with a line of linear growth for comparison."""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from eval.bench.tables import OURS, PLAIN, PYDENSECRF, VARIED, Record, systems_of

STYLES: dict[str, dict[str, Any]] = {
    OURS: {"color": "tab:blue", "marker": "o"},
    PLAIN: {"color": "tab:orange", "marker": "s"},
    PYDENSECRF: {"color": "tab:red", "marker": "^"},
}
COLUMNS, PANEL_INCHES, DPI = 4, (4.0, 3.5), 120


def growth_figure(sections: Mapping[str, Sequence[Record]]) -> Figure | None:
    """A panel for every growth section and pair of bandwidths; None where there is no growth section."""
    panels = [
        (section, [record for record in sections[section] if record["thetas"] == thetas])
        for section in VARIED
        if section in sections
        for thetas in _distinct(record["thetas"] for record in sections[section])
    ]
    if not panels:
        return None
    columns = min(COLUMNS, len(panels))
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(columns * PANEL_INCHES[0], rows * PANEL_INCHES[1] + 0.5), dpi=DPI, layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat[len(panels) :]:
        axes.set_axis_off()
    for axes, (section, records) in zip(grid.flat, panels, strict=False):
        _panel(axes, section, records)
    lines = {line.get_label(): line for axes in grid.flat for line in axes.get_lines()}
    figure.legend(handles=list(lines.values()), loc="outside lower center", ncols=len(lines), frameon=False)
    return figure


def _panel(axes: Axes, section: str, records: Sequence[Record]) -> None:
    unit, varied = VARIED[section]
    quantity, scale = ("peak bytes", 1e-6) if section == "memory" else ("seconds", 1.0)
    first = systems_of(records, quantity)[0]
    for name in systems_of(records, quantity):
        points = [(varied(record), scale * record[quantity][name]) for record in records if name in record[quantity]]
        style = next(STYLES[system] for system in (PLAIN, PYDENSECRF, OURS) if name.startswith(system))
        axes.plot(*zip(*points, strict=True), label=name, linewidth=1.6, markersize=4, **style)
    ends = [varied(record) for record in records]
    last = scale * records[-1][quantity][first]
    axes.plot(
        ends,
        [last * end / ends[-1] for end in ends],
        color="0.6",
        linestyle="--",
        linewidth=1,
        label="linear",
        zorder=0,
    )
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xticks(ends, [f"{end:,}" if end < 10_000 else _short(end) for end in ends], fontsize=8)
    axes.xaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.set_xlabel("pixels" if unit == "pixels" else unit)
    axes.set_ylabel("peak memory, MB" if section == "memory" else "seconds")
    alpha, beta = records[0]["thetas"]
    axes.set_title(f"{'memory, pixels' if section == 'memory' else section}, ({alpha:g}, {beta:g})", fontsize=10)
    axes.grid(True, which="major", color="0.9")


def _short(value: int) -> str:
    return f"{value / 1e6:.1f}M" if value >= 1e6 else f"{value / 1e3:.0f}k"


def _distinct(values: Any) -> list[Any]:
    found: list[Any] = []
    for value in values:
        if value not in found:
            found.append(value)
    return found
