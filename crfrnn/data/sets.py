"""A data set by its folder, whichever layout that has."""

from os import PathLike
from pathlib import Path

from torch import Tensor

from crfrnn.data.coco import CocoSegmentation, LabelName, is_coco
from crfrnn.data.msrc import MSRC21, is_msrc
from crfrnn.data.parts import Parts, PartSegmentation, open_parts
from crfrnn.data.sbd import SBDSegmentation, is_sbd
from crfrnn.data.voc import VOCSegmentation

SegmentationSet = VOCSegmentation | MSRC21 | CocoSegmentation | SBDSegmentation | PartSegmentation


def open_set(
    root: str | PathLike[str],
    split: str | PathLike[str],
    parts: Parts | None = None,
    coco_labels: LabelName = "voc",
) -> SegmentationSet:
    """The images of a list: of MSRC-21, COCO (with `coco_labels`) or SBD where `root` is laid out so, else as VOC is.

    Where `parts` asks for parts of objects, those of PASCAL-Part or AeroplaneOID. Raises as the data sets do.
    """
    if parts is not None and parts.wanted:
        return open_parts(root, split, parts)
    if is_coco(Path(root)):
        return CocoSegmentation(root, split, coco_labels)
    if is_sbd(Path(root)):
        return SBDSegmentation(root, split)
    return MSRC21(root, split) if is_msrc(Path(root)) else VOCSegmentation(root, split)


def mirrored_labels(dataset: SegmentationSet) -> tuple[int, ...] | None:
    """The label of every label in a mirror image, where left and right parts are different labels; None for no change."""
    return dataset.labels.mirrored if isinstance(dataset, PartSegmentation) else None


def allowed_labels(dataset: SegmentationSet, index: int) -> Tensor | None:
    """Which labels are possible in an item, bool [L], where its object class is known beforehand; None for all."""
    return dataset.allowed(index) if isinstance(dataset, PartSegmentation) else None


def part_names(dataset: SegmentationSet) -> tuple[str, ...]:
    """The labels that are parts of objects; not the background, whole objects and the rest of them."""
    return dataset.labels.part_names if isinstance(dataset, PartSegmentation) else ()
