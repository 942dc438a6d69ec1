"""Masks as labels, whatever they are written in, and the tables of colors that some are painted in."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from crfrnn.data.images import load, rgb
from crfrnn.data.listing import read_list
from crfrnn.data.sample import VOID

VOID_NAME = "void"
Color = tuple[int, int, int]


def read_colors(path: Path) -> list[tuple[Color, str]]:
    """The colors and names in a table of colors. Raises FileNotFoundError or ValueError where it is missing or malformed."""
    if not path.is_file():
        raise FileNotFoundError(f"there is no table of colors {path}")
    table: list[tuple[Color, str]] = []
    for line in read_list(path):
        fields = line.split(maxsplit=3)
        if len(fields) != 4 or not all(field.isdecimal() and int(field) <= 255 for field in fields[:3]):
            raise ValueError(f'{path} has the line {line!r}; wanted "R G B NAME", with numbers from 0 to 255')
        red, green, blue = (int(field) for field in fields[:3])
        if (red, green, blue) in [color for color, _ in table]:
            raise ValueError(f"{path} has the color {red} {green} {blue} twice; wanted one name for each color")
        table.append(((red, green, blue), fields[3]))
    return table


def labels_of_colors(path: Path, colors: Sequence[tuple[Color, int]]) -> Tensor:
    """A mask painted in colors as labels, uint8 [H, W]. Raises ValueError where it holds a color that has no label."""
    pixels = rgb(load(path), path).int()
    codes = (pixels[0] << 16) + (pixels[1] << 8) + pixels[2]
    labels = torch.full(codes.shape, VOID, dtype=torch.uint8)
    known = torch.zeros(codes.shape, dtype=torch.bool)
    for (red, green, blue), label in colors:
        painted = codes == (red << 16) + (green << 8) + blue
        labels[painted] = label
        known |= painted
    if not known.all():
        color = tuple(pixels[:, ~known][:, 0].tolist())
        raise ValueError(
            f"{path} holds the color {color} in {int((~known).sum())} pixels; wanted colors of the table alone: add this "
            "color to it, as void where it does not count (blended colors come from JPEG or from resizing)"
        )
    return labels


def labels_of_values(path: Path, num_labels: int, void: int) -> Tensor:
    """A palette or gray mask as labels, uint8 [H, W], `void` as 255. Raises ValueError where it holds anything else."""
    mask = load(path)
    if mask.mode not in ("P", "L", "1") and not mask.mode.startswith("I"):
        raise ValueError(
            f"{path} holds {mask.mode} pixels; wanted one label a pixel (palette or gray), or --colors FILE with the "
            "colors of the labels"
        )
    values = np.asarray(mask).astype(np.int64)
    wrong = values[((values < 0) | (values >= num_labels)) & (values != void)]
    if wrong.size:
        raise ValueError(
            f"{path} holds the value {wrong[0]} in {(wrong == wrong[0]).sum()} pixels; wanted the labels "
            f"0..{num_labels - 1}, or {void} for void: name all labels in --classes, set --void, or pass --colors FILE"
        )
    return torch.from_numpy(np.where(values == void, VOID, values).astype(np.uint8))
