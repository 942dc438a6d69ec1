"""A data set by its folder, whichever layout that has."""

from os import PathLike
from pathlib import Path

from crfrnn.data.msrc import MSRC21, is_msrc
from crfrnn.data.voc import VOCSegmentation

SegmentationSet = VOCSegmentation | MSRC21


def open_set(root: str | PathLike[str], split: str | PathLike[str]) -> SegmentationSet:
    """The images of a list: of MSRC-21 where `root` holds Images and GroundTruth, else of a set in the VOC layout.

    Raises as `MSRC21` and `VOCSegmentation` do.
    """
    return MSRC21(root, split) if is_msrc(Path(root)) else VOCSegmentation(root, split)
