"""A figure that compares labelings: every image with all its labelings, and close-ups of where they differ."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from einops import rearrange
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor

from eval.pictures.figures import INCHES_PER_COLUMN, LEGEND_POINTS, PANEL_DPI, Legend, overlay, wrapped

TITLE_INCHES, GAP_INCHES = 0.24, 0.03
TITLE_LETTERS = 28  # that fit above a picture


@dataclass(frozen=True)
class Comparison:
    """One image and its labelings, the columns of the comparison.

    Attributes:
        image: uint8 [3, H, W].
        labels: the labeling of every column, and the truth as the last: uint8 [H, W] each.
        mean_iou: of every column on this image, in percent.
        gain: the mean IoU of one column minus that of another.
        window: (top, left, side) of the close-up.
    """

    name: str
    image: Tensor
    labels: dict[str, Tensor]
    mean_iou: dict[str, float]
    gain: float
    window: tuple[int, int, int]

    def titles(self) -> list[str]:
        """The titles of the pictures: the name of the image, then every column with its mean IoU."""
        scores = {name: f"{value:.1f}" for name, value in self.mean_iou.items()}
        titles = [self.name, *(f"{column} {scores.get(column, '')}".rstrip() for column in self.labels)]
        return [wrapped(title, TITLE_LETTERS) for title in titles]

    def pictures(self, classes: Sequence[str]) -> list[Tensor]:
        """The image, then every labeling painted over a gray copy of it, uint8 [3, H, W] each."""
        gray = self.image.float().mean(0, keepdim=True).to(torch.uint8).expand(3, -1, -1)
        return [self.image, *(overlay(gray, labels, classes) for labels in self.labels.values())]

    def crop(self, picture: Tensor) -> Tensor:
        """The close-up of a picture [..., H, W]."""
        top, left, side = self.window
        return picture[..., top : top + side, left : left + side]


def comparison_figure(comparisons: Sequence[Comparison], classes: Sequence[str], heading: str) -> Figure:
    """Two rows of pictures for each image: the whole, and the close-up. Titles give the mean IoU on that image."""
    columns = 1 + len(comparisons[0].labels)
    width = columns * INCHES_PER_COLUMN
    maps = [labels for each in comparisons for labels in each.labels.values()]
    legend = Legend(maps, classes, LEGEND_POINTS, width)
    heights = [INCHES_PER_COLUMN * each.image.shape[1] / each.image.shape[2] for each in comparisons]
    title_inches = TITLE_INCHES * max(title.count("\n") + 1 for each in comparisons for title in each.titles())
    rows = sum(height + INCHES_PER_COLUMN + title_inches + 3 * GAP_INCHES for height in heights)
    total = 2 * TITLE_INCHES + rows + legend.height
    figure = Figure(figsize=(legend.width, total), dpi=PANEL_DPI)
    figure.text(0.5, 1 - 0.9 * TITLE_INCHES / total, heading, ha="center", va="center", fontsize=LEGEND_POINTS + 2)
    scale = figure.transFigure.inverted().transform(figure.dpi_scale_trans.transform([[1, 1]]))[0]

    def place(picture: Tensor, column: int, top: float, height: float, title: str = "") -> None:
        left = column * INCHES_PER_COLUMN + GAP_INCHES / 2
        inches = (left, total - top - height, INCHES_PER_COLUMN - GAP_INCHES, height)
        x_scale, y_scale = scale
        axes = figure.add_axes((inches[0] * x_scale, inches[1] * y_scale, inches[2] * x_scale, inches[3] * y_scale))
        axes.imshow(rearrange(picture, "c h w -> h w c").numpy(), interpolation="lanczos", aspect="auto")
        axes.set_axis_off()
        axes.set_title(title, fontsize=LEGEND_POINTS, pad=3)
        if title:
            y, x, side = each.window
            axes.add_patch(Rectangle((x, y), side, side, fill=False, edgecolor="yellow", linewidth=1.2))

    top = 2 * TITLE_INCHES
    for each, height in zip(comparisons, heights, strict=True):
        top += title_inches
        for column, (picture, title) in enumerate(zip(each.pictures(classes), each.titles(), strict=True)):
            place(picture, column, top, height, title)
            place(each.crop(picture), column, top + height + GAP_INCHES, INCHES_PER_COLUMN - GAP_INCHES)
        top += height + INCHES_PER_COLUMN + 3 * GAP_INCHES
    legend.draw(figure)
    return figure
