"""Boxes around objects: read from the annotations of VOC, or found in masks."""

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from crfrnn.data.sample import VOID


class LabeledBox(NamedTuple):
    """Rows top ... bottom - 1 and columns left ... right - 1 of an image, counted from 0, and the label of what is inside.

    The label is void for objects that do not count: difficult ones in VOC, crowds in COCO.
    """

    label: int
    top: int
    left: int
    bottom: int
    right: int

    @property
    def area(self) -> int:
        return (self.bottom - self.top) * (self.right - self.left)

    @property
    def region(self) -> tuple[slice, slice]:
        """Rows and columns, to index a map with."""
        return slice(self.top, self.bottom), slice(self.left, self.right)


def clipped(boxes: Sequence[LabeledBox], height: int, width: int) -> list[LabeledBox]:
    """`boxes` cut off at the edges of an image; boxes without a pixel in it are left out."""
    inside = [
        LabeledBox(box.label, max(box.top, 0), max(box.left, 0), min(box.bottom, height), min(box.right, width))
        for box in boxes
    ]
    return [box for box in inside if box.top < box.bottom and box.left < box.right]


def voc_boxes(path: str | PathLike[str], classes: Sequence[str]) -> list[LabeledBox]:
    """The objects of a VOC annotation, Annotations/<id>.xml, clipped to its image; void where they are marked difficult.

    Coordinates in the file count from 1 and include both ends; decimals are rounded to the nearest pixel.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged, an object's class is not in `classes` (background first), or a box ends before it
            begins.
    """
    path = Path(path)
    root = read_annotation(path)
    height, width = (annotation_size(path, root, name) for name in ("height", "width"))
    return clipped([_box(path, node, classes) for node in root.findall("object")], height, width)


def read_annotation(path: Path) -> ElementTree.Element:
    """The root of an annotation in XML. Raises FileNotFoundError where there is none, ValueError where it is damaged."""
    if not path.is_file():
        raise FileNotFoundError(f"there is no annotation {path}")
    try:
        return ElementTree.parse(path).getroot()
    except (ElementTree.ParseError, LookupError, ValueError) as error:  # not XML, or in an unknown encoding
        raise ValueError(f"{path} is not readable XML ({error}); fetch this file again") from error


def _box(path: Path, node: ElementTree.Element, classes: Sequence[str]) -> LabeledBox:
    name = annotation_text(path, node, "name")
    if name not in classes[1:]:
        raise ValueError(f"{path} has an object of class {name!r}; wanted one of {', '.join(classes[1:])}")
    sides = [annotation_text(path, node, f"bndbox/{side}") for side in ("ymin", "xmin", "ymax", "xmax")]
    try:
        top, left, bottom, right = (int(float(side) + 0.5) for side in sides)
    except (OverflowError, ValueError) as error:
        raise ValueError(f"{path} has a box of a {name} at {sides}; wanted four finite numbers") from error
    if bottom < top or right < left:
        raise ValueError(
            f"{path} has a box of a {name} with rows {top}..{bottom} and columns {left}..{right}; wanted the smaller "
            "number first, so repair this file"
        )
    difficult = node.findtext("difficult", "0").strip() == "1"
    return LabeledBox(VOID if difficult else classes.index(name), top - 1, left - 1, bottom, right)


def annotation_size(path: Path, root: ElementTree.Element, name: str) -> int:
    """Height or width of the image of an annotation. Raises ValueError, naming the file, where it is no size."""
    text = annotation_text(path, root, f"size/{name}")
    if not re.fullmatch(r"0*[1-9][0-9]{0,8}", text):
        raise ValueError(f"{path} has an image with a {name} of {text[:20]!r}; wanted a number of pixels")
    return int(text)


def annotation_text(path: Path, node: ElementTree.Element, name: str) -> str:
    """The text of a child of a node. Raises ValueError, naming the file, where there is no such child."""
    text = node.findtext(name)
    if text is None:
        raise ValueError(f"{path} has no {name} in <{node.tag}>; wanted an annotation of VOC, so fetch this file again")
    return text.strip()


def object_boxes(objects: Tensor, labels: Tensor) -> list[LabeledBox]:
    """One box per object of a mask of objects: integers [H, W], 0 for background and 255 for void.

    Its label is the one that covers most of the object in `labels` [H, W], not counting 0 and void; an object without
    such a label is left out. Raises ValueError where the sizes differ.
    """
    if objects.shape != labels.shape or objects.ndim != 2:
        raise ValueError(
            f"got objects {list(objects.shape)} and labels {list(labels.shape)}; wanted two maps [H, W] of one size"
        )
    boxes = []
    for number in objects.unique().tolist():
        inside = objects == number
        own = labels[inside]
        own = own[(own != 0) & (own != VOID)]
        if number not in (0, VOID) and own.numel():
            boxes.append(_bounds(int(own.long().bincount().argmax()), inside))
    return boxes


def region_boxes(labels: Tensor) -> list[LabeledBox]:
    """One box per connected region (eight neighbors) of a label in a map [H, W], for masks that do not separate objects.

    Objects of one class that touch share one box; an object that another one splits gets several. Needs
    scipy (extra `sbd`).
    """
    try:
        from scipy import ndimage
    except ImportError as error:
        raise ImportError("connected regions need scipy; pip install 'crfrnn[sbd]'") from error

    boxes = []
    for label in labels.unique().tolist():
        if label in (0, VOID):
            continue
        regions, _ = ndimage.label((labels == label).numpy(), structure=np.ones((3, 3)))
        boxes += [
            LabeledBox(label, rows.start, columns.start, rows.stop, columns.stop)
            for rows, columns in ndimage.find_objects(regions)
        ]
    return boxes


def _bounds(label: int, inside: Tensor) -> LabeledBox:
    rows, columns = torch.nonzero(inside, as_tuple=True)
    top, left, bottom, right = rows.min(), columns.min(), rows.max(), columns.max()
    return LabeledBox(label, int(top), int(left), int(bottom) + 1, int(right) + 1)
