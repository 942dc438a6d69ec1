"""Data sets, label files and joint transforms."""

from typing import TYPE_CHECKING, Any

from crfrnn.data.boxes import LabeledBox, clipped, object_boxes, region_boxes, voc_boxes
from crfrnn.data.coco import COCO_LABELS, CocoSegmentation
from crfrnn.data.folders import FolderSegmentation, FolderSet, folder_set, source_of
from crfrnn.data.images import read_image
from crfrnn.data.msrc import MSRC21, MSRC_CLASSES
from crfrnn.data.palette import colorize, read_labels, voc_palette, write_labels
from crfrnn.data.parts import Parts, PartSegmentation
from crfrnn.data.sample import VOID, Sample
from crfrnn.data.sbd import SBDSegmentation
from crfrnn.data.sets import SegmentationSet, allowed_labels, look_for, mirrored_labels, open_set, part_names
from crfrnn.data.toy import TOY_CLASSES, make_toy
from crfrnn.data.voc import VOC_CLASSES, VOCSegmentation, class_names, list_names

if TYPE_CHECKING:
    from crfrnn.data.transforms import MEAN_RGB, JointTransform, seeded, test_transform, train_transform

__all__ = [
    "COCO_LABELS",
    "MEAN_RGB",
    "MSRC21",
    "MSRC_CLASSES",
    "TOY_CLASSES",
    "VOC_CLASSES",
    "VOID",
    "CocoSegmentation",
    "FolderSegmentation",
    "FolderSet",
    "JointTransform",
    "LabeledBox",
    "PartSegmentation",
    "Parts",
    "SBDSegmentation",
    "Sample",
    "SegmentationSet",
    "VOCSegmentation",
    "allowed_labels",
    "class_names",
    "clipped",
    "colorize",
    "folder_set",
    "list_names",
    "look_for",
    "make_toy",
    "mirrored_labels",
    "object_boxes",
    "open_set",
    "part_names",
    "read_image",
    "read_labels",
    "region_boxes",
    "seeded",
    "source_of",
    "test_transform",
    "train_transform",
    "voc_boxes",
    "voc_palette",
    "write_labels",
]


def __getattr__(name: str) -> Any:
    # The transforms need torchvision, which takes seconds to import and which reading a data set does without.
    if name in __all__:
        from crfrnn.data import transforms

        return getattr(transforms, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
