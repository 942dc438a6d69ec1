"""How good a labeling is near the borders of objects, as scores, tables and curves.

Two measures: the usual scores in bands of some pixels around the borders (a band is called a trimap), and boundary IoU, the
IoU of the inner borders of the masks.
"""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor

from crfrnn.data import VOID, Sample
from eval.scoring.lines import NETWORK_ALONE, curve_style
from eval.scoring.metrics import Scores, scores_of
from eval.scoring.tables import Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WIDTHS = tuple(range(1, 41))
"""half widths in pixels of the bands of DeepLab's experiment"""
SHOWN = (1, 2, 5, 10, 20, 40)
"""half widths of the bands that the table has"""
MEASURES = ("mean_iou", "pixel_accuracy", "class_accuracy")
NO_BANDS = "no trimaps: they need masks with a void frame around objects, as VOC's SegmentationClass has it"
Bands = Mapping[str, Mapping[int, Scores]]


class Trimap:
    """Scores in bands around the void borders of the truth, one confusion matrix per band over the whole set.

    The band of w holds the pixels that are not void and within w pixels of one that is, in rows and in columns: void
    dilated by a square of 2 w + 1, without void, as in the released code of DeepLab (Chen et al. 2015). The frame that
    annotators left around objects is what makes it a band around their borders: masks without void have none.

    Args:
        classes: the names of the labels 0, 1, ...
        widths: the w, in pixels, each 1 or more.
    """

    def __init__(self, classes: Sequence[str], widths: Sequence[int] = WIDTHS) -> None:
        if not widths or min(widths) < 1:
            raise ValueError(f"got bands of {list(widths)} pixels; wanted one or more, each 1 or wider")
        self.classes = tuple(classes)
        self.widths = tuple(sorted(widths))
        # Row d - 1: the pixels at distance d from void.
        self._counts = torch.zeros(self.widths[-1], len(self.classes), len(self.classes), dtype=torch.int64)

    def update(self, prediction: Tensor, truth: Tensor) -> None:
        """Add one image: labels [H, W] each; 255 is void, in the truth only."""
        distance = distance_to_void(truth, self.widths[-1])
        inside = distance > 0
        labels = len(self.classes)
        cells = ((distance[inside] - 1) * labels + truth[inside]) * labels + prediction[inside]
        self._counts += torch.bincount(cells, minlength=self._counts.numel()).view_as(self._counts)

    def scores(self) -> dict[int, Scores]:
        """The scores within w, by w; none where no pixel lies in the narrowest band, as in masks without void."""
        counts = self._counts.cumsum(0)
        if not counts[self.widths[0] - 1].any():
            return {}
        return {width: scores_of(counts[width - 1], self.classes) for width in self.widths}


def distance_to_void(truth: Tensor, limit: int) -> Tensor:
    """Largest of the row and the column distance to the nearest void pixel, int64 [H, W]; 0 for void and beyond `limit`."""
    reached = (truth == VOID)[None, None].float()
    distance = torch.zeros(truth.shape, dtype=torch.int64)
    for d in range(1, limit + 1):
        wider = F.max_pool2d(reached, 3, stride=1, padding=1)
        distance[(wider > reached)[0, 0]] = d
        reached = wider
    return distance


class BoundaryIoU:
    """IoU of the inner borders of the masks of every class (Cheng et al. 2021), summed over a set.

    The inner border of a mask consists of its pixels within d pixels of one outside it, or of the edge of the image; d is
    a share of the diagonal. Void pixels of the truth belong to no mask, neither in the truth nor in the prediction. So
    both have a border along them, and a prediction that is right wherever the truth is known has 100.

    Args:
        classes: the names of the labels 0, 1, ...
        share: d over the diagonal of the image; d is 1 pixel at least.
    """

    def __init__(self, classes: Sequence[str], share: float = 0.02) -> None:
        self.classes = tuple(classes)
        self.share = share
        self._common = torch.zeros(len(self.classes), dtype=torch.float64)
        self._either = torch.zeros(len(self.classes), dtype=torch.float64)

    def update(self, prediction: Tensor, truth: Tensor) -> None:
        """Add one image: labels [H, W] each; 255 is void, in the truth only."""
        height, width = truth.shape
        d = max(1, round(self.share * (height**2 + width**2) ** 0.5))
        known = truth != VOID
        for label in sorted({*prediction[known].unique().tolist(), *truth[known].unique().tolist()}):
            ours, theirs = inner_border((prediction == label) & known, d), inner_border(truth == label, d)
            self._common[label] += int((ours & theirs).sum())
            self._either[label] += int((ours | theirs).sum())

    def scores(self) -> dict[str, float]:
        """Boundary IoU of every class in percent; NaN for classes that are nowhere."""
        return dict(zip(self.classes, (100 * self._common / self._either).tolist(), strict=True))


def inner_border(mask: Tensor, d: int) -> Tensor:
    """The pixels of a mask, bool [H, W], at most d steps (to one of eight neighbors) from outside of it or of the image."""
    outside = F.pad((~mask)[None, None].float(), (1, 1, 1, 1), value=1.0)
    return mask & (F.max_pool2d(outside, 2 * d + 1, stride=1, padding=d)[0, 0, 1:-1, 1:-1] > 0)


class Borders:
    """Both scores of every row of an evaluation: an observer for `eval.scoring.evaluate.evaluate`."""

    def __init__(self, rows: Sequence[str], classes: Sequence[str]) -> None:
        self._trimaps = {row: Trimap(classes) for row in rows}
        self._borders = {row: BoundaryIoU(classes) for row in rows}

    def __call__(self, sample: Sample, unary: Tensor, labels: dict[str, Tensor]) -> None:
        for row, trimap in self._trimaps.items():
            trimap.update(labels[row], sample.labels)
            self._borders[row].update(labels[row], sample.labels)

    def bands(self) -> dict[str, dict[int, Scores]]:
        """Scores by row and half width of the band; nothing where no image has void."""
        bands = {row: trimap.scores() for row, trimap in self._trimaps.items()}
        return {row: scores for row, scores in bands.items() if scores}

    def boundary_iou(self) -> dict[str, dict[str, float]]:
        """Boundary IoU by row and class, in percent; NaN for absent classes."""
        return {row: border.scores() for row, border in self._borders.items()}


def border_table(borders: Borders) -> Table:
    """Mean IoU in bands of w pixels around void, and mean boundary IoU; a mean over fewer classes says over how many.

    Where there are no bands, it has the boundary IoU alone.
    """
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
    return Table(["mean IoU, percent,\nin the band of", *(f"{width} px" for width in shown), "boundary\nIoU"], rows)


def _mean(value: float, over: int, classes: int) -> str:
    return f"{value:.2f}" + (f" ({over})" if over < classes else "")


def trimap_figure(bands: Bands) -> "Figure":
    """Mean IoU and pixel accuracy against the half width of the band, a curve for each row."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(9.5, 4.2), dpi=110, layout="constrained")
    left, right = figure.subplots(1, 2)
    for i, (row, scores) in enumerate(bands.items()):
        style = NETWORK_ALONE if row == "network" else curve_style(i, len(bands)) | {"label": row}
        left.plot(list(scores), [each.mean_iou for each in scores.values()], **style)
        right.plot(list(scores), [each.pixel_accuracy for each in scores.values()], **style)
    for axes, title in ((left, "mean IoU, percent"), (right, "pixel accuracy, percent")):
        axes.set_xlabel("half width of the band around void, pixels")
        axes.set_title(title, fontsize=10)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
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
