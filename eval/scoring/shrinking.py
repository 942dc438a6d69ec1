"""The shrinking bias: how much labelings keep of thin structures and of small objects.

A CRF between neighboring pixels pays for the length of borders, so cutting off a leg is cheaper for it than keeping it; this
is an argument for dense CRFs (Kraehenbuehl & Koltun 2011). Recall by thickness and by area shows which labelings do so.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from matplotlib.figure import Figure
from torch import Tensor

from crfrnn.data import VOID

SIDES = (5, 9, 17, 33)
"""limits of the bins of thickness, pixels, odd"""
AREAS = (1000, 4000, 16000)
"""limits of the bins of area, pixels"""


def thickness(labels: Tensor, sides: Sequence[int] = SIDES) -> Tensor:
    """The bin of thickness of every pixel, int64 [H, W].

    A pixel is at least k thick where a square of side k around some pixel, wholly of its label, covers it (the morphological
    opening by that square); bin n is at least `sides[n - 1]` and below `sides[n]`. Beyond its edges the
    image may have any label; void is a label of its own.

    Args:
        labels: integers [H, W].
        sides: odd and growing.
    """
    found = torch.zeros(labels.shape, dtype=torch.int64)
    for label in labels.unique():
        inside = labels == label
        for side in sides:
            eroded = 1 - _largest_in_square(1 - inside[None, None].float(), side)
            found += (_largest_in_square(eroded, side)[0, 0] > 0) & inside
    return found


def _largest_in_square(mask: Tensor, side: int) -> Tensor:
    """The maximum [1, 1, H, W] over a square around every pixel, row by row and then column by column."""
    rows = F.max_pool2d(mask, (1, side), stride=1, padding=(0, side // 2))
    return F.max_pool2d(rows, (side, 1), stride=1, padding=(side // 2, 0))


@dataclass
class Kept:
    """Recall of one row by the thickness and by the area of what a pixel belongs to, in percent; NaN for empty bins."""

    by_thickness: list[float]
    by_area: list[float]

    def plain(self) -> dict[str, list[float | None]]:
        """For JSON, which has no NaN."""
        return {
            name: [None if math.isnan(value) else value for value in values] for name, values in asdict(self).items()
        }


class Shrinking:
    """Counts, over images, the labeled pixels that rows get right, by thickness and by area.

    The area of a pixel is that of its class in its image.
    """

    def __init__(self, rows: Sequence[str]) -> None:
        self._right = {row: (torch.zeros(len(SIDES) + 1), torch.zeros(len(AREAS) + 1)) for row in rows}
        self._total = (torch.zeros(len(SIDES) + 1), torch.zeros(len(AREAS) + 1))

    def update(self, labels: Mapping[str, Tensor], truth: Tensor) -> None:
        """Add an image: labels [H, W] of every row, and the truth, 255 for void."""
        known = truth != VOID
        areas = torch.bincount(truth.flatten().long(), minlength=256)[truth.long()]
        bins = (thickness(truth)[known], torch.bucketize(areas, torch.tensor(AREAS), right=True)[known])
        for n, own in enumerate(bins):
            self._total[n].add_(torch.bincount(own, minlength=len(self._total[n])))
            for row, right in self._right.items():
                hits = own[(labels[row] == truth)[known]]
                right[n].add_(torch.bincount(hits, minlength=len(right[n])))

    def kept(self) -> dict[str, Kept]:
        """The recalls of every row."""
        return {
            row: Kept(*((100 * own / total).tolist() for own, total in zip(right, self._total, strict=True)))
            for row, right in self._right.items()
        }

    def shares(self) -> Kept:
        """How many percent of all labeled pixels lie in each bin."""
        return Kept(*((100 * total / total.sum()).tolist() for total in self._total))


def bin_names(limits: Sequence[int]) -> list[str]:
    """Words for the bins between `limits`."""
    return [f"< {limits[0]}", *(f"{a}..{b - 1}" for a, b in pairwise(limits)), f">= {limits[-1]}"]


def shrinking_figure(
    kept: Mapping[str, Kept], shares: Kept, sweeps: Mapping[str, Mapping[float, tuple[float, float]]], before: str
) -> Figure:
    """Gain in recall over the row `before`, by thickness and by area, and thin structures as the CRF gets stronger.

    Args:
        kept: of every row.
        shares: of the bins.
        sweeps: by row, then by factor on its weights: pixel accuracy and recall of the thinnest bin.
    """
    figure = Figure(figsize=(12.5, 4.2), dpi=110, layout="constrained")
    axes = figure.subplots(1, 3)
    parts = (
        ("by_thickness", SIDES, "thickness of the structure, pixels"),
        ("by_area", AREAS, "area of the class, pixels"),
    )
    for each, (name, limits, title) in zip(axes, parts, strict=False):
        base = getattr(kept[before], name)
        width = 0.8 / (len(kept) - 1)
        for n, (row, values) in enumerate((row, own) for row, own in kept.items() if row != before):
            gains = [after - first for after, first in zip(getattr(values, name), base, strict=True)]
            each.bar([x + (n - (len(kept) - 2) / 2) * width for x in range(len(gains))], gains, width, label=row)
        each.axhline(0, color="0.3", linewidth=0.8)
        labels = [
            f"{words}\n({share:.1f} %)" for words, share in zip(bin_names(limits), getattr(shares, name), strict=True)
        ]
        each.set_xticks(range(len(labels)), labels, fontsize=8)
        each.set_xlabel(f"{title} (share of pixels)")
        each.set_ylabel(f"recall over that of the {before}, points")
        each.grid(axis="y", alpha=0.3)
    axes[0].legend(fontsize=8)
    for row, sweep in sweeps.items():
        accuracy, thin = zip(*sweep.values(), strict=True)
        axes[2].plot(accuracy, thin, marker="o", markersize=3.5, label=row)
        for factor, x, y in zip(sweep, accuracy, thin, strict=True):
            axes[2].annotate(f"x{factor:g}", (x, y), textcoords="offset points", xytext=(4, 3), fontsize=7)
    axes[2].set_xlabel("pixel accuracy, percent")
    axes[2].set_ylabel(f"recall of structures under {SIDES[0]} pixels, percent")
    axes[2].set_title("weights times a factor", fontsize=9)
    axes[2].grid(alpha=0.3)
    axes[2].legend(fontsize=8)
    return figure
