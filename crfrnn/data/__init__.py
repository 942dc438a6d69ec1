"""Data sets, label files and joint transforms."""

from typing import TYPE_CHECKING, Any

from crfrnn.data.images import read_image
from crfrnn.data.msrc import MSRC21, MSRC_CLASSES
from crfrnn.data.palette import colorize, read_labels, voc_palette, write_labels
from crfrnn.data.parts import Parts, PartSegmentation
from crfrnn.data.sets import SegmentationSet, allowed_labels, mirrored_labels, open_set, part_names
from crfrnn.data.toy import TOY_CLASSES, make_toy
from crfrnn.data.voc import VOC_CLASSES, VOID, Sample, VOCSegmentation

if TYPE_CHECKING:
    from crfrnn.data.transforms import MEAN_RGB, JointTransform, seeded, test_transform, train_transform

__all__ = [
    "MEAN_RGB",
    "MSRC21",
    "MSRC_CLASSES",
    "TOY_CLASSES",
    "VOC_CLASSES",
    "VOID",
    "JointTransform",
    "PartSegmentation",
    "Parts",
    "Sample",
    "SegmentationSet",
    "VOCSegmentation",
    "allowed_labels",
    "colorize",
    "make_toy",
    "mirrored_labels",
    "open_set",
    "part_names",
    "read_image",
    "read_labels",
    "seeded",
    "test_transform",
    "train_transform",
    "voc_palette",
    "write_labels",
]


def __getattr__(name: str) -> Any:
    # The transforms need torchvision, which takes seconds to import and which reading a data set does without.
    if name in __all__:
        from crfrnn.data import transforms

        return getattr(transforms, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
