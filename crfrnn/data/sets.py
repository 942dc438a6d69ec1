"""A data set by its folder, whichever layout that has."""

from os import PathLike
from pathlib import Path

from crfrnn.data.coco import CocoSegmentation, is_coco
from crfrnn.data.msrc import MSRC21, is_msrc
from crfrnn.data.sbd import SBDSegmentation, is_sbd
from crfrnn.data.voc import VOCSegmentation

SegmentationSet = VOCSegmentation | MSRC21 | CocoSegmentation | SBDSegmentation


def open_set(root: str | PathLike[str], split: str | PathLike[str]) -> SegmentationSet:
    """The images of a list: of MSRC-21, COCO (with VOC's labels) or SBD where `root` is laid out so, else as VOC is.

    Raises as the data sets do.
    """
    if is_coco(Path(root)):
        return CocoSegmentation(root, split)
    if is_sbd(Path(root)):
        return SBDSegmentation(root, split)
    return MSRC21(root, split) if is_msrc(Path(root)) else VOCSegmentation(root, split)
