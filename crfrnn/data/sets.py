"""Opening a data set of any known layout, which its folders tell."""

from os import PathLike
from pathlib import Path

from torch import Tensor

from crfrnn.data.coco import CocoSegmentation, LabelName, is_coco, look_for_coco
from crfrnn.data.folders import FolderSegmentation, FolderSet, read_folder_set
from crfrnn.data.msrc import MSRC21, is_msrc
from crfrnn.data.parts import Parts, PartSegmentation, find_parts, open_parts
from crfrnn.data.sbd import SBDSegmentation, is_sbd
from crfrnn.data.voc import VOCSegmentation

SegmentationSet = VOCSegmentation | MSRC21 | CocoSegmentation | SBDSegmentation | PartSegmentation | FolderSegmentation


def open_set(
    root: str | PathLike[str] | FolderSet,
    split: str | PathLike[str],
    parts: Parts | None = None,
    coco_labels: LabelName = "voc",
) -> SegmentationSet:
    """The listed images in `root`: of COCO (with `coco_labels`), SBD or MSRC-21 where it has that layout, else of VOC.

    Where `parts` asks for parts of objects, the layouts are PASCAL-Part and AeroplaneOID. `root` may also be a `FolderSet`,
    or the file folders.json that a run keeps of one. Raises as the data sets do.
    """
    if not isinstance(root, FolderSet) and Path(root).suffix == ".json" and Path(root).is_file():
        root = read_folder_set(Path(root))
    if isinstance(root, FolderSet):
        if parts is not None and parts.wanted:
            raise ValueError("masks in folders have no parts of objects; pass a folder of PASCAL-Part as --data")
        return FolderSegmentation(root, split)
    if parts is not None and parts.wanted:
        return open_parts(root, split, parts)
    if is_coco(Path(root)):
        return CocoSegmentation(root, split, coco_labels)
    if is_sbd(Path(root)):
        return SBDSegmentation(root, split)
    return MSRC21(root, split) if is_msrc(Path(root)) else VOCSegmentation(root, split)


def look_for(root: str | PathLike[str] | FolderSet, split: str | PathLike[str], parts: Parts | None = None) -> None:
    """Raise FileNotFoundError as `open_set` does, in a moment: annotations of COCO and of parts are not read."""
    if isinstance(root, FolderSet) or Path(root).suffix == ".json":
        open_set(root, split, parts)
    elif parts is not None and parts.wanted:
        find_parts(root, split)
    elif is_coco(Path(root)):
        look_for_coco(Path(root), split)
    else:
        open_set(root, split)


def mirrored_labels(dataset: SegmentationSet) -> tuple[int, ...] | None:
    """What each label becomes in a mirror image, where left and right parts have labels of their own; None for no change."""
    return dataset.labels.mirrored if isinstance(dataset, PartSegmentation) else None


def allowed_labels(dataset: SegmentationSet, index: int) -> Tensor | None:
    """Which labels an item can have, bool [L], where the class of its object is given; None where it can have all."""
    return dataset.allowed(index) if isinstance(dataset, PartSegmentation) else None


def part_names(dataset: SegmentationSet) -> tuple[str, ...]:
    """The names of the labels that are parts of objects, rather than background or objects."""
    return dataset.labels.part_names if isinstance(dataset, PartSegmentation) else ()
