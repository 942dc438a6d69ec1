"""The annotation of one image, which is objects and their parts, and the label maps drawn from it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from crfrnn.data.parts.labels import PartLabels
from crfrnn.data.parts.vocabulary import PASCAL_PARTS, class_index

Mask = NDArray[np.bool_]


class Corners(NamedTuple):
    """A box by two of its corners, x before y as detectors give them, in pixels and fractions of them.

    Right and bottom are the first column and row outside. `crfrnn.data.LabeledBox` is the box of a labeled object in whole
    rows and columns.
    """

    left: float
    top: float
    right: float
    bottom: float

    @property
    def longer_side(self) -> float:
        return max(self.right - self.left, self.bottom - self.top)


@dataclass(frozen=True)
class Part:
    name: str
    mask: Mask


@dataclass(frozen=True)
class AnnotatedObject:
    """An object with its silhouette, bool [H, W], and its annotated parts in the order of the file."""

    object_class: str
    mask: Mask
    parts: tuple[Part, ...] = ()


@dataclass(frozen=True)
class Annotation:
    """The objects of an image of `size` (H, W), in the order of the file."""

    objects: tuple[AnnotatedObject, ...]
    size: tuple[int, int]


class Listed(NamedTuple):
    """What is known of an object before its masks are drawn."""

    object_class: str
    box: Corners
    has_parts: bool


class IndexMaps(NamedTuple):
    """Three maps uint8 [H, W], 0 where there is nothing: the VOC class, the instance (from 1) and the pid of every pixel."""

    classes: Tensor
    instances: Tensor
    pids: Tensor


def mask_box(mask: Mask) -> Corners:
    """The smallest box around a mask that is not empty."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return Corners(int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)


def part_map(
    annotation: Annotation,
    labels: PartLabels,
    level: Callable[[str, str], int],
    given_class: str | None = None,
) -> Tensor:
    """The labels of an image, uint8 [H, W].

    A later object covers an earlier one. Within an object, the part of the higher `level` is on top; of two parts on one
    level, the later. Pixels of an object outside all of its parts get the label `labels.rest`. Objects are background where
    their class has no labels, or is not the `given_class` where there is one.
    """
    drawn = np.zeros(annotation.size, np.uint8)
    for each in annotation.objects:
        name = each.object_class
        if given_class not in (None, name):
            drawn[each.mask] = 0
            continue
        drawn[each.mask] = labels.rest(name)
        # Sorting is stable: the order of the file decides within a level.
        for part in sorted(each.parts, key=lambda part: level(name, part.name)):
            label = labels.label(name, part.name)
            if label is not None:
                drawn[part.mask] = label
    return torch.from_numpy(drawn)


def index_maps(annotation: Annotation) -> IndexMaps:
    """The maps of a PASCAL-Part annotation as its authors draw them: whatever comes later in the file is on top."""
    classes, instances, pids = (np.zeros(annotation.size, np.uint8) for _ in range(3))
    for number, each in enumerate(annotation.objects, 1):
        classes[each.mask] = class_index(each.object_class)
        instances[each.mask] = number
        for part in each.parts:
            pids[part.mask] = PASCAL_PARTS[each.object_class][part.name]
    return IndexMaps(*map(torch.from_numpy, (classes, instances, pids)))
