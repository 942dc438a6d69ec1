"""Volumes as pictures: three slices that cross in the middle, with labelings painted over them."""

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure
from torch import Tensor

from eval.pictures.figures import LEGEND_POINTS, PANEL_DPI, Legend, overlay

INCHES_PER_EXTENT = 2.6
TITLE_INCHES = 0.3
LEAST_PIXELS = 256
"""of the longest axis: voxels become so many, that lines along edges of labels are thin"""


def slices(volume: Tensor) -> list[Tensor]:
    """The middle slice across each axis of a volume [D, H, W], voxels being enlarged: [H, W], [D, W] and [D, H]."""
    times = -(-LEAST_PIXELS // max(volume.shape))
    middle = (volume.select(axis, size // 2) for axis, size in enumerate(volume.shape))
    return [each.repeat_interleave(times, 0).repeat_interleave(times, 1) for each in middle]


def slices_figure(
    volume: Tensor, labelings: Mapping[str, Tensor], classes: Sequence[str], spacing: Sequence[float]
) -> Figure:
    """A row for the volume, and one for each labeling by its title; a column for each axis that is sliced across.

    Args:
        volume: gray levels, uint8 [D, H, W].
        labelings: integers [D, H, W].
        classes: names of the labels; "background" is not painted.
        spacing: the distance of voxels along each axis, which the pictures keep.
    """
    extents = [size * unit for size, unit in zip(volume.shape, spacing, strict=True)]
    planes = [[extent for other, extent in enumerate(extents) if other != axis] for axis in range(3)]
    inch = INCHES_PER_EXTENT / max(extents)
    widths, height = [plane[1] * inch for plane in planes], max(plane[0] for plane in planes) * inch
    legend = Legend(list(labelings.values()), classes, LEGEND_POINTS, sum(widths))
    rows = {"scan": None, **labelings}
    total = len(rows) * (height + TITLE_INCHES) + legend.height
    figure = Figure(figsize=(legend.width, total), dpi=PANEL_DPI)
    grid = figure.add_gridspec(len(rows), 3, width_ratios=widths, wspace=0.03, hspace=TITLE_INCHES / height)
    grid.update(left=0.01, right=0.99, bottom=legend.height / total, top=1 - TITLE_INCHES / total)
    for i, (title, labels) in enumerate(rows.items()):
        for j, gray in enumerate(slices(volume)):
            picture = gray.expand(3, -1, -1)
            if labels is not None:
                picture = overlay(picture, slices(labels)[j], classes)
            unit = [spacing[axis] for axis in range(3) if axis != j]
            axes = figure.add_subplot(grid[i, j])
            axes.imshow(
                picture.permute(1, 2, 0).numpy(), origin="lower", aspect=unit[0] / unit[1], interpolation="nearest"
            )
            axes.set_axis_off()
            if j == 0:
                axes.set_title(title, fontsize=LEGEND_POINTS, loc="left")
    legend.draw(figure)
    return figure
