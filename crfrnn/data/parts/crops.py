"""Crops around objects, scaled so that all objects have one size."""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from crfrnn.data.parts.annotation import Corners


class Region(NamedTuple):
    """A part of an image, and the size [h, w] it is resized to."""

    left: int
    top: int
    right: int
    bottom: int
    size: tuple[int, int]

    @property
    def window(self) -> tuple[slice, slice]:
        """Rows and columns of the image."""
        return slice(self.top, self.bottom), slice(self.left, self.right)


def region_around(box: Corners, image_size: tuple[int, int], side: float, margin: float) -> Region:
    """The box with a margin of `margin` times its longer side, scaled so that this side has `side` pixels.

    The region ends at the edges of the image [H, W]. Raises ValueError where the box has no pixel within the image, or its
    longer side is shorter than a pixel, as in coordinates from 0 to 1.
    """
    height, width = image_size
    if not all(map(math.isfinite, box)) or box.longer_side < 1:
        raise ValueError(
            f"the box {tuple(box)} is smaller than a pixel, or not finite; wanted left, top, right, bottom in pixels"
        )
    if box.right <= max(box.left, 0) or box.bottom <= max(box.top, 0) or box.left >= width or box.top >= height:
        raise ValueError(
            f"the box {tuple(box)} has no pixel within an image of {width} x {height}; wanted left, top, right, bottom in "
            "pixels"
        )
    more = margin * box.longer_side
    left, top = min(max(0, round(box.left - more)), width - 1), min(max(0, round(box.top - more)), height - 1)
    right, bottom = min(width, round(box.right + more)), min(height, round(box.bottom + more))
    right, bottom = max(right, left + 1), max(bottom, top + 1)
    factor = side / box.longer_side
    size = max(1, round(factor * (bottom - top))), max(1, round(factor * (right - left)))
    return Region(left, top, right, bottom, size)


def cut(image: Tensor, region: Region) -> Tensor:
    """The region of an image [C, H, W] at its scale, float32 [C, h, w]; bilinear, antialiased."""
    rows, columns = region.window
    return resized(image[:, rows, columns].float(), region.size)


def cut_labels(labels: Tensor, region: Region) -> Tensor:
    """The region of a label map [H, W] at its scale [h, w]; every pixel takes the label nearest to it."""
    rows, columns = region.window
    window = labels[rows, columns]
    return F.interpolate(window[None, None].float(), size=region.size, mode="nearest-exact")[0, 0].to(labels.dtype)


def resized(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Maps [C, H, W] at another size, bilinear and antialiased."""
    if tuple(maps.shape[1:]) == tuple(size):
        return maps
    return F.interpolate(maps[None], size=size, mode="bilinear", antialias=True)[0]


def to_uint8(image: Tensor) -> Tensor:
    """Gray levels rounded to whole numbers 0..255."""
    return image.round().clamp(0, 255).to(torch.uint8)
