"""Pictures of labelings: labels painted over an image, and panels with several labelings side by side."""

import itertools
import textwrap
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from torch import Tensor

from crfrnn._files import replacing
from crfrnn.data import VOID, Sample, colorize, voc_palette

INCHES_PER_COLUMN = 2.6
PANEL_DPI = 150
OVERLAY_DPI = 128  # a power of two: pixels become inches and pixels again without rounding
LEGEND_POINTS = 10.0
DATES = {".png": (), ".pdf": ("CreationDate",), ".svg": ("Date",)}
"""by the ending of a file: what of its metadata would be a date"""


@dataclass
class Example:
    """A row of a panel: an image, uint8 [3, H, W], and its labelings, [H, W] each, by the titles of their columns."""

    name: str
    image: Tensor
    labels: dict[str, Tensor]


class Album:
    """Collects the examples of a panel during an evaluation: an observer for `eval.scoring.evaluate.evaluate`.

    One album can observe several evaluations; each adds columns on the right.

    Args:
        names: the images to keep.
        rows: the rows of the evaluation whose labels to keep; all by default.
    """

    def __init__(self, names: Collection[str], rows: Collection[str] | None = None) -> None:
        self.names = set(names)
        self.rows = rows
        self._examples: dict[str, Example] = {}

    @property
    def examples(self) -> list[Example]:
        return list(self._examples.values())

    def __call__(self, sample: Sample, unary: Tensor, labels: dict[str, Tensor]) -> None:
        if sample.name not in self.names:
            return
        fresh = Example(sample.name, sample.image, {"truth": sample.labels})
        example = self._examples.setdefault(sample.name, fresh)
        example.labels |= {row: value for row, value in labels.items() if self.rows is None or row in self.rows}


def overlay(image: Tensor, labels: Tensor, classes: Sequence[str]) -> Tensor:
    """The image, painted with the color of every label: half transparent, and solid along edges. uint8 [3, H, W].

    The label called "background" is not painted.

    Args:
        image: uint8 [3, H, W].
        labels: integers [H, W]; 255 is void.
        classes: names of the labels.

    Raises ValueError where the sizes differ.
    """
    if image.shape[1:] != labels.shape:
        raise ValueError(
            f"got an image {list(image.shape)} and labels {list(labels.shape)}; "
            "wanted [3, H, W] and [H, W] of equal size"
        )
    opacity = torch.where(edges(labels), 1.0, 0.5)
    if "background" in classes:
        opacity[labels == classes.index("background")] = 0.0
    return image.float().lerp(colorize(labels).float(), opacity).round().to(torch.uint8)


def edges(labels: Tensor) -> Tensor:
    """Where the label of a pixel differs from one of its four neighbors, bool [H, W]."""
    found = torch.zeros_like(labels, dtype=torch.bool)
    below, beside = labels[1:] != labels[:-1], labels[:, 1:] != labels[:, :-1]
    found[1:] |= below
    found[:-1] |= below
    found[:, 1:] |= beside
    found[:, :-1] |= beside
    return found


def overlay_figure(image: Tensor, labels: Tensor, classes: Sequence[str]) -> Figure:
    """`overlay` with one dot per pixel, and a legend of its labels below. Raises as `overlay`."""
    picture = overlay(image, labels, classes)
    height, width = labels.shape
    points = LEGEND_POINTS * max(1.0, width / 700)  # readable too where a large picture is shown small
    legend = Legend([labels], classes, points, width / OVERLAY_DPI)
    figure = Figure(figsize=(legend.width, height / OVERLAY_DPI + legend.height), dpi=OVERLAY_DPI)
    figure.figimage(picture.permute(1, 2, 0).numpy(), xo=0, yo=int(figure.bbox.height) - height, origin="upper")
    legend.draw(figure)
    return figure


def panel(examples: Sequence[Example], classes: Sequence[str]) -> Figure:
    """A grid with a row for each example: the image, then an overlay for each labeling; one legend below.

    Overlays are on a gray copy of the image, so that no color of an object looks like that of a label.

    Raises ValueError where there is no example, or where examples have different columns.
    """
    titles = _titles(examples)
    maps = [labels for example in examples for labels in example.labels.values()]
    legend = Legend(maps, classes, LEGEND_POINTS, INCHES_PER_COLUMN * len(titles))
    heights = [INCHES_PER_COLUMN * example.image.shape[1] / example.image.shape[2] for example in examples]
    title_height = 0.2 * (1.5 + max(title.count("\n") for title in titles))
    height = title_height + sum(heights) + legend.height
    figure = Figure(figsize=(legend.width, height), dpi=PANEL_DPI)
    grid = figure.add_gridspec(len(examples), len(titles), height_ratios=heights, wspace=0.02, hspace=0.02)
    grid.update(left=0, right=1, bottom=legend.height / height, top=1 - title_height / height)
    for i, example in enumerate(examples):
        gray = example.image.float().mean(0, keepdim=True).to(torch.uint8).expand(3, -1, -1)
        pictures = [example.image, *(overlay(gray, labels, classes) for labels in example.labels.values())]
        for j, picture in enumerate(pictures):
            axes = figure.add_subplot(grid[i, j])
            axes.imshow(picture.permute(1, 2, 0).numpy(), interpolation="lanczos")
            axes.set_axis_off()
            if i == 0:
                axes.set_title(titles[j], fontsize=LEGEND_POINTS)
    legend.draw(figure)
    return figure


def _titles(examples: Sequence[Example]) -> list[str]:
    """Titles of the columns of a panel."""
    if not examples:
        raise ValueError("there is no example to picture; wanted one or more")
    columns = list(examples[0].labels)
    different = [example.name for example in examples if list(example.labels) != columns]
    if different:
        raise ValueError(f"{different[0]} has other columns than {examples[0].name}; wanted {columns} in all")
    return [wrapped(title, 26) for title in ("input", *columns)]


def wrapped(title: str, letters: int) -> str:
    """A title in lines of so many letters, none of which begins or ends within "T = 5"."""
    return textwrap.fill(title.replace(" = ", "\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}"), letters, break_on_hyphens=False)


def matrix_figure(matrix: Tensor, classes: Sequence[str], title: str) -> Figure:
    """A heat map of a matrix [L, L] over labels, with its values in the cells. Blue is below zero, red above."""
    return matrices_figure({title: matrix}, classes)


def matrices_figure(matrices: Mapping[str, Tensor], classes: Sequence[str], digits: int = 2) -> Figure:
    """Heat maps of matrices [L, L], by their titles, side by side, with one scale of colors; see `matrix_figure`.

    Values have `digits` after the point; without any, a value that rounds to 0 is not shown. With more than 40 labels,
    the cells are too small to show values.
    """
    cell = min(0.42, 24 / len(classes))  # inches
    side = cell * len(classes)
    cells = list(itertools.product(range(len(classes)), repeat=2)) if len(classes) <= 40 else []
    points = min(10.0, 58 * cell)
    size = (len(matrices) * (side + 1.6) + 0.6, side + 1.6)
    figure = Figure(figsize=size, dpi=OVERLAY_DPI, layout="constrained")
    limit = max(*(float(matrix.abs().max()) for matrix in matrices.values()), 1e-9)
    grid = figure.subplots(1, len(matrices), squeeze=False)[0]
    for axes, (title, matrix) in zip(grid, matrices.items(), strict=True):
        picture = axes.imshow(matrix.numpy(), cmap="RdBu_r", vmin=-limit, vmax=limit)
        axes.set_xticks(range(len(classes)), classes, rotation=90, fontsize=points)
        axes.set_yticks(range(len(classes)), classes, fontsize=points)
        axes.set_title(title, fontsize=10)
        for row, column in cells:
            value = float(matrix[row, column])
            if not digits and not round(value):
                continue
            shade = "white" if abs(value) > 0.6 * limit else "black"
            axes.text(column, row, f"{value:.{digits}f}", ha="center", va="center", fontsize=6, color=shade)
    figure.colorbar(picture, ax=grid, shrink=0.8)
    return figure


def confusion_figure(counts: Tensor, classes: Sequence[str], title: str) -> Figure:
    """A heat map of the pixels counted by [true label, predicted label], in percent of those of the true label."""
    shares = 100 * counts / counts.sum(1, keepdim=True).clamp(min=1)
    figure = matrices_figure({title: shares}, classes, digits=0)
    figure.axes[0].set_xlabel("predicted")
    figure.axes[0].set_ylabel("true")
    return figure


def save_figure(figure: Figure, path: Path) -> None:
    """Write `figure` as a PNG at its own resolution, as a PDF or as an SVG, by the ending of `path`.

    The same figure gives the same bytes: no file has a date in it. It is written completely or not at all, and replaces an
    older file. Raises ValueError for another ending.
    """
    if path.suffix not in DATES:
        raise ValueError(f"a figure cannot be written as {path}; wanted a name that ends in {' or '.join(DATES)}")
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as partial, rc_context({"svg.hashsalt": "crfrnn", "pdf.fonttype": 42}):
        figure.savefig(partial, format=path.suffix[1:], dpi=figure.dpi, metadata=dict.fromkeys(DATES[path.suffix]))


class Legend:
    """A legend at the bottom of a figure: names and colors of the labels that some maps hold.

    Attributes:
        width: inches that the figure needs, at least the `width` it was made with.
        height: inches of the legend itself.
    """

    def __init__(self, maps: Sequence[Tensor], classes: Sequence[str], points: float, width: float) -> None:
        present = sorted(set(torch.cat([labels.unique().long() for labels in maps]).tolist()))
        palette = (voc_palette() / 255).tolist()
        self.points = points
        self.patches = []
        for label in present:
            name = "void" if label == VOID else classes[label]
            color = "none" if name == "background" else palette[label]
            self.patches.append(Patch(facecolor=color, edgecolor="0.4", linewidth=0.5, label=name))
        inch = points / 72
        entry = inch * (0.65 * max(len(str(patch.get_label())) for patch in self.patches) + 4)
        self.width = max(width, entry)
        self.columns = min(len(self.patches), int(self.width / entry))
        self.height = inch * (1.7 * -(-len(self.patches) // self.columns) + 0.5)

    def draw(self, figure: Figure) -> None:
        figure.legend(
            handles=self.patches,
            loc="lower center",
            ncols=self.columns,
            fontsize=self.points,
            frameon=False,
            borderaxespad=0.2,
            columnspacing=1.0,
        )
