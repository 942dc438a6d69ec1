"""Scores near the borders of objects as a table, as curves and as numbers."""

import math
from collections.abc import Mapping
from typing import Any

from matplotlib.figure import Figure

from eval.scoring.borders import Borders
from eval.scoring.metrics import Scores
from eval.scoring.tables import text_table

SHOWN = (1, 2, 5, 10, 20, 40)
"""half widths of the bands that the table has"""
MEASURES = ("mean_iou", "pixel_accuracy", "class_accuracy")
NO_BANDS = "no trimaps: they need masks with a void frame around objects, as VOC's SegmentationClass has it"
Bands = Mapping[str, Mapping[int, Scores]]


def border_table(borders: Borders) -> str:
    """Mean IoU in bands of w pixels around void, and mean boundary IoU; in parentheses over how many classes, if not all."""
    bands, boundary = borders.bands(), borders.boundary_iou()
    shown = SHOWN if bands else ()
    rows = []
    for row, iou in boundary.items():
        present = [value for value in iou.values() if not math.isnan(value)]
        rows.append(
            [
                row,
                *(_mean(bands[row][width].mean_iou, len(bands[row][width].present), len(iou)) for width in shown),
                _mean(sum(present) / len(present), len(present), len(iou)),
            ]
        )
    text = text_table(["mean IoU\nin the band of", *(f"{width} px" for width in shown), "boundary\nIoU"], rows)
    return text if bands else f"{text}\n\n{NO_BANDS}"


def _mean(value: float, over: int, classes: int) -> str:
    return f"{value:.2f}" + (f" ({over})" if over < classes else "")


def trimap_figure(bands: Bands) -> Figure:
    """Mean IoU and pixel accuracy against the half width of the band, a curve for each row."""
    figure = Figure(figsize=(9.5, 4.2), dpi=110, layout="constrained")
    left, right = figure.subplots(1, 2)
    for row, scores in bands.items():
        left.plot(list(scores), [each.mean_iou for each in scores.values()], label=row)
        right.plot(list(scores), [each.pixel_accuracy for each in scores.values()], label=row)
    for axes, title in ((left, "mean IoU, percent"), (right, "pixel accuracy, percent")):
        axes.set_xlabel("half width of the band around void, pixels")
        axes.set_title(title, fontsize=10)
        axes.grid(alpha=0.3)
    right.legend(fontsize=8)
    return figure


def border_numbers(borders: Borders) -> dict[str, Any]:
    """Everything for a JSON file."""
    bands = borders.bands()
    return {
        "half_widths": list(next(iter(bands.values()), {})),
        "bands": {row: _curves(scores) for row, scores in bands.items()},
        "boundary_iou": {
            row: {name: None if math.isnan(value) else value for name, value in scores.items()}
            for row, scores in borders.boundary_iou().items()
        },
    }


def _curves(scores: Mapping[int, Scores]) -> dict[str, list[float]]:
    curves = {name: [getattr(each, name) for each in scores.values()] for name in MEASURES}
    return {**curves, "classes": [len(each.present) for each in scores.values()]}
