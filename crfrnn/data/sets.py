"""A data set by its folder, whichever layout that has."""

from os import PathLike
from pathlib import Path

from torch import Tensor

from crfrnn.data.msrc import MSRC21, is_msrc
from crfrnn.data.parts import Parts, PartSegmentation, open_parts
from crfrnn.data.voc import VOCSegmentation

SegmentationSet = VOCSegmentation | MSRC21 | PartSegmentation


def open_set(root: str | PathLike[str], split: str | PathLike[str], parts: Parts | None = None) -> SegmentationSet:
    """The images of a list: of MSRC-21 where `root` holds Images and GroundTruth, else of a set in the VOC layout.

    Where `parts` asks for parts of objects, those of PASCAL-Part or AeroplaneOID. Raises as the data sets do.
    """
    if parts is not None and parts.wanted:
        return open_parts(root, split, parts)
    return MSRC21(root, split) if is_msrc(Path(root)) else VOCSegmentation(root, split)


def mirrored_labels(dataset: SegmentationSet) -> tuple[int, ...] | None:
    """The label of every label in a mirror image, where left and right parts are different labels; None for no change."""
    return dataset.labels.mirrored if isinstance(dataset, PartSegmentation) else None


def allowed_labels(dataset: SegmentationSet, index: int) -> Tensor | None:
    """Which labels are possible in an item, bool [L], where its object class is known beforehand; None for all."""
    return dataset.allowed(index) if isinstance(dataset, PartSegmentation) else None


def part_names(dataset: SegmentationSet) -> tuple[str, ...]:
    """All labels but the background, where they are parts of objects; else none."""
    return dataset.classes[1:] if isinstance(dataset, PartSegmentation) else ()
