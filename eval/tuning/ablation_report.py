"""The results of an ablation: tables, a figure with error bars over seeds, TensorBoard pages and a JSON file."""

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib import colormaps
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from torch.utils.tensorboard import SummaryWriter

from crfrnn._files import replacing
from eval.pictures.figures import save_figure
from eval.scoring.differences import Differences, Runs, difference_tables, difference_text, differences
from eval.scoring.lines import NETWORK_ALONE, curve_style
from eval.scoring.metrics import Scores
from eval.scoring.record import write_json
from eval.scoring.tables import Table
from eval.tuning.ablation_cells import AnyCell, Cells, Ready, after

NAME, COLUMNS = "ablation", 8
NETWORK, ONLY = "network alone", "mean IoU"
Group = dict[str, list[list[Scores]]]
"""scores by the name of a row, seed and T"""


def write_report(
    folder: Path, cells: Sequence[AnyCell], kept: Cells, facts: Mapping[str, Any], figures: str
) -> tuple[str, dict[str, Table]]:
    """Write everything about `cells` into `folder`; returns what to print, and the tables alone."""
    scores = {cell: kept.scores(cell) for cell in cells}
    rows: Group = {}
    for cell in cells:
        rows.setdefault(row_name(cell, cells), []).append(scores[cell])
    found, over = table(rows), compared(cells, kept)
    text = f"{note(rows)}\n\n{found}\n\n{difference_text(over)}"
    plain = [
        {
            **cell.values,
            **({"checkpoint": str(cell.checkpoint)} if isinstance(cell, Ready) else {}),
            "seed": cell.seed,
            "classes": scores[cell][0].present,
            "mean_iou": [row.mean_iou for row in scores[cell]],
            "pixel_accuracy": [row.pixel_accuracy for row in scores[cell]],
            "class_accuracy": [row.class_accuracy for row in scores[cell]],
        }
        for cell in cells
    ]
    write_json(folder / f"{NAME}.json", {**facts, "cells": plain, "differences": [each.plain() for each in over]})
    with replacing(folder / f"{NAME}.txt") as partial:
        partial.write_text(text + "\n", encoding="utf-8")
    save_figure(curves(rows), folder / f"{NAME}.{figures}")
    for cell in cells:
        write_board(folder / "tensorboard" / cell.key, cell, scores[cell])
    return text, {NAME: found, **difference_tables(over)}


def compared(cells: Sequence[AnyCell], kept: Cells) -> list[Differences]:
    """What every row has at the largest T over the network alone, which is that of the first row, and over the first row."""
    last = after(kept.settings["test_iterations"])
    counts = {cell: kept.counts(cell) for cell in cells}
    rows: dict[str, Runs] = {}
    for cell in cells:
        name = row_name(cell, cells)
        title = f"{name}, {last}" if name != ONLY else last
        rows[title] = [*rows.get(title, []), (counts[cell], last)]
    first = next(iter(rows))
    networks: dict[str, Runs] = {NETWORK: [(counts, after(0)) for counts, _ in rows[first]]}
    found = [differences(networks | rows, NETWORK)]
    return [*found, differences(rows, first)] if len(rows) > 1 else found


def row_name(cell: AnyCell, cells: Sequence[AnyCell]) -> str:
    """The name of a cell's row: its values on the axes that vary."""
    varied = [name for name in cell.values if len({str(other.values[name]) for other in cells}) > 1]
    return ", ".join(f"{name} {cell.values[name]}" for name in varied) or ONLY


def mean_and_deviation(seeds: Sequence[Sequence[Scores]], iteration: int) -> tuple[float, float]:
    """Mean and standard deviation over seeds of the mean IoU; the deviation of a single seed is 0."""
    values = [seed[iteration].mean_iou for seed in seeds]
    return statistics.mean(values), statistics.stdev(values) if len(values) > 1 else 0.0


def table(rows: Group) -> Table:
    """Mean IoU of every row at some T, and where it is highest."""
    largest = len(next(iter(rows.values()))[0]) - 1
    shown = columns(largest)
    lines = []
    for name, seeds in rows.items():
        values = [mean_and_deviation(seeds, t) for t in range(largest + 1)]
        best = max(range(largest + 1), key=lambda t: values[t][0])
        cells = [f"{values[t][0]:.2f}" + (f" ±{values[t][1]:.2f}" if len(seeds) > 1 else "") for t in shown]
        lines.append([name, *cells, str(best)])
    return Table(["mean IoU, percent,\nby T at test", *map(str, shown), "best"], lines)


def note(rows: Group) -> str:
    """What the means in the table are over."""
    most_seeds = max(len(seeds) for seeds in rows.values())
    first = next(iter(rows.values()))[0][0]
    text = f"mean IoU over {len(first.present)} of {len(first.iou)} classes, those of the truth, percent"
    return text + (f"; mean and deviation over {most_seeds} seeds" if most_seeds > 1 else "")


def columns(largest: int) -> list[int]:
    """The numbers of iterations that the table shows: all up to `largest`, or some with growing gaps where they are many."""
    if largest < COLUMNS:
        return list(range(largest + 1))
    return [t for t in (0, 1, 2, 3, 5, 10, 20, 50, 100) if t < largest] + [largest]


def curves(rows: Group) -> Figure:
    """Mean IoU over the iterations at test, a line per row, deviations over seeds as bars; the networks alone are dashed."""
    figure = Figure(figsize=(8.5, max(4.8, 0.24 * len(rows) + 1)), dpi=130, layout="constrained")
    axes = figure.add_subplot()
    palette = colormaps["tab10" if len(rows) <= 10 else "tab20"]
    for i, (name, seeds) in enumerate(rows.items()):
        iterations = range(len(seeds[0]))
        means, deviations = zip(*(mean_and_deviation(seeds, t) for t in iterations), strict=True)
        color = palette(i % palette.N)
        axes.plot(iterations, means, label=name, color=color, **curve_style(i, len(rows)))
        if len(seeds) > 1:
            # Side by side, so that bars do not hide each other.
            shifted = [t + 0.3 * ((i + 0.5) / len(rows) - 0.5) for t in iterations]
            axes.errorbar(shifted, means, deviations, fmt="none", ecolor=color, elinewidth=1.0, capsize=2)
    alone = {f"{mean_and_deviation(seeds, 0)[0]:.6f}": i for i, seeds in enumerate(rows.values())}
    for value, i in alone.items():
        own = {} if len(alone) == 1 else {"color": palette(i % palette.N), "label": None}
        axes.axhline(float(value), zorder=0, **{**NETWORK_ALONE, **own})
    axes.set_xlabel("mean-field iterations at test (0: the network alone)")
    axes.set_ylabel("mean IoU, percent")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.3)
    if len(rows) > 1 or len(alone) == 1:
        figure.legend(*axes.get_legend_handles_labels(), loc="outside right upper", fontsize=8)
    return figure


def write_board(folder: Path, cell: AnyCell, scores: Sequence[Scores]) -> None:
    """A cell as a row of the table of hyper-parameters, and its mean IoU with the iteration as step."""
    if folder.exists():
        return
    with SummaryWriter(str(folder)) as writer:
        for iteration, row in enumerate(scores):
            writer.add_scalar("mean IoU", row.mean_iou, iteration)
        results = {"last mean IoU": scores[-1].mean_iou, "best mean IoU": max(row.mean_iou for row in scores)}
        writer.add_hparams({**cell.values, "seed": cell.seed}, results, run_name=".")
