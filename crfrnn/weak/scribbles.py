"""Scribbles: strokes through objects and background (Lin, Dai, Jia, He & Sun 2016, ScribbleSup), and label maps of them."""

import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Sequence
from os import PathLike
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from crfrnn.data import VOID
from crfrnn.data.boxes import annotation_size, annotation_text, read_annotation

WIDTH = 3
"""pixels, as in the maps of Tang et al. 2018"""
SMALLEST = 100
"""pixels of the smallest region that gets a stroke beside a larger one of its label"""
CELLS = 48
"""about how many steps wide a region is where its middle is looked for"""
LARGEST_CUT = 0.25
"""the largest share of the middle line that a stroke leaves out at either end"""

Mask = NDArray[np.bool_]
Cell = tuple[int, int]


class Stroke(NamedTuple):
    """A line through points (row, column) of an image, counted from 0, and the label of what it runs through."""

    label: int
    points: tuple[Cell, ...]


def voc_scribbles(path: str | PathLike[str], classes: Sequence[str]) -> tuple[list[Stroke], tuple[int, int]]:
    """The strokes in an annotation of ScribbleSup, pascal_2012/<id>.xml, and height and width of its image.

    Each <polygon> is a stroke: its <tag> names one of `classes`, background first, and its <point>s have <X> and <Y> in
    pixels. Points outside of the image are moved to its edge, as everybody does who reads these files.

    Raises FileNotFoundError where there is no such file, and ValueError where it is damaged or names another class.
    """
    path = Path(path)
    root = read_annotation(path)
    height, width = (annotation_size(path, root, name) for name in ("height", "width"))
    strokes = []
    for node in root.findall("polygon"):
        name = annotation_text(path, node, "tag")
        if name not in classes:
            raise ValueError(f"{path} has a scribble of class {name!r}; wanted one of {', '.join(classes)}")
        ends = ((height, "Y"), (width, "X"))
        points = [tuple(_place(path, point, axis, size) for size, axis in ends) for point in node.findall("point")]
        strokes.append(Stroke(classes.index(name), tuple(points)))  # type: ignore[arg-type]
    return strokes, (height, width)


def _place(path: Path, point: ElementTree.Element, axis: str, size: int) -> int:
    text = annotation_text(path, point, axis)
    try:
        return min(max(round(float(text)), 0), size - 1)
    except (OverflowError, ValueError) as error:
        raise ValueError(f"{path} has a point with {axis} = {text[:20]!r}; wanted a finite number") from error


def scribble_map(strokes: Sequence[Stroke], height: int, width: int) -> Tensor:
    """The strokes as lines `WIDTH` pixels wide, later ones on top, void elsewhere. -> uint8 [H, W]."""
    from PIL import Image, ImageDraw

    picture = Image.new("L", (width, height), VOID)
    draw, half = ImageDraw.Draw(picture), WIDTH // 2
    for stroke in strokes:
        line = [(column, row) for row, column in stroke.points]
        draw.line(line, fill=stroke.label, width=WIDTH)
        for column, row in line[:1] + line[-1:]:
            draw.rectangle((column - half, row - half, column + half, row + half), fill=stroke.label)
    return torch.from_numpy(np.array(picture))


def mask_scribbles(labels: Tensor, seed: int | Sequence[int]) -> list[Stroke]:
    """Strokes as a person might draw them, from a mask: integers [H, W], void allowed.

    A connected region gets one along its middle: the longest path in its skeleton, from which random shares are cut at both
    ends. Regions of less than `SMALLEST` pixels get none beside a larger one of their label. The same mask and seed give the
    same strokes. Needs scipy (extra `sbd`).
    """
    try:
        from scipy import ndimage
    except ImportError as error:
        raise ImportError("connected regions need scipy; pip install 'crfrnn[sbd]'") from error

    random, strokes = np.random.default_rng(seed), []
    for label in labels.unique().tolist():
        if label == VOID:
            continue
        regions, count = ndimage.label((labels == label).numpy(), structure=np.ones((3, 3)))
        areas = np.bincount(regions.ravel(), minlength=count + 1)[1:]
        for number, (rows, columns) in enumerate(ndimage.find_objects(regions)):
            if areas[number] >= min(SMALLEST, areas.max()):
                middle = _middle(regions[rows, columns] == number + 1)
                first, last = (int(share * len(middle)) for share in random.uniform(0, LARGEST_CUT, 2))
                kept = middle[first : len(middle) - last]
                strokes.append(Stroke(label, tuple((row + rows.start, column + columns.start) for row, column in kept)))
    return strokes


def _middle(region: Mask) -> list[Cell]:
    """The longest path in the skeleton of a region, which is looked for on a grid of about `CELLS` cells across."""
    step = 1 + min(region.shape) // CELLS
    coarse = region[step // 2 :: step, step // 2 :: step]
    if not coarse.any():
        step, coarse = 1, region
    skeleton = thinned(coarse)
    left = {(int(row), int(column)) for row, column in np.argwhere(skeleton if skeleton.any() else coarse)}
    best: list[Cell] = []
    while len(left) > len(best):
        far = list(_walk(min(left), left))[-1]
        came = _walk(far, left)
        path = [list(came)[-1]]
        while path[-1] != far:
            path.append(came[path[-1]])
        best = max(best, path, key=len)
        left -= set(came)
    return [(row * step + step // 2, column * step + step // 2) for row, column in best]


def _walk(start: Cell, cells: set[Cell]) -> dict[Cell, Cell]:
    """All cells that can be reached from `start`, nearest first, and the one that each was reached from."""
    came, edge = {start: start}, [start]
    for cell in edge:
        for near in _near(cell):
            if near in cells and near not in came:
                came[near] = cell
                edge.append(near)
    return came


def _near(cell: Cell) -> Iterator[Cell]:
    """The eight neighbors of a cell."""
    for rows, columns in AROUND:
        yield cell[0] + rows, cell[1] + columns


AROUND = ((-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1))
"""steps to the neighbors, clockwise from the one above"""


def thinned(region: Mask) -> Mask:
    """The skeleton of a region [H, W] by the parallel thinning of Zhang & Suen 1984: lines one pixel wide."""
    padded = np.pad(region, 1)
    height, width = region.shape
    image = padded[1:-1, 1:-1]
    while True:
        before = image.sum()
        for north_west in (False, True):
            near = [padded[1 + rows :, 1 + columns :][:height, :width] for rows, columns in AROUND]
            count = np.sum(near, 0)
            entries = np.sum([~a & b for a, b in zip(near, near[1:] + near[:1], strict=True)], 0)
            north, east, south, west = near[::2]
            inner = (north & west & (east | south)) if north_west else (east & south & (north | west))
            image &= ~((count >= 2) & (count <= 6) & (entries == 1) & ~inner)
        if image.sum() == before:
            return image
