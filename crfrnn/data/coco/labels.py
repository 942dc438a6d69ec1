"""The categories of COCO as labels: as VOC's 21, as COCO's own 80 and background, or as both combined."""

from collections.abc import Mapping
from dataclasses import dataclass

from crfrnn.data.voc import VOC_CLASSES

COCO_CATEGORIES = {
    1: "person", 2: "bicycle", 3: "car", 4: "motorcycle", 5: "airplane", 6: "bus", 7: "train", 8: "truck", 9: "boat",
    10: "traffic light", 11: "fire hydrant", 13: "stop sign", 14: "parking meter", 15: "bench", 16: "bird", 17: "cat",
    18: "dog", 19: "horse", 20: "sheep", 21: "cow", 22: "elephant", 23: "bear", 24: "zebra", 25: "giraffe",
    27: "backpack", 28: "umbrella", 31: "handbag", 32: "tie", 33: "suitcase", 34: "frisbee", 35: "skis",
    36: "snowboard", 37: "sports ball", 38: "kite", 39: "baseball bat", 40: "baseball glove", 41: "skateboard",
    42: "surfboard", 43: "tennis racket", 44: "bottle", 46: "wine glass", 47: "cup", 48: "fork", 49: "knife",
    50: "spoon", 51: "bowl", 52: "banana", 53: "apple", 54: "sandwich", 55: "orange", 56: "broccoli", 57: "carrot",
    58: "hot dog", 59: "pizza", 60: "donut", 61: "cake", 62: "chair", 63: "couch", 64: "potted plant", 65: "bed",
    67: "dining table", 70: "toilet", 72: "tv", 73: "laptop", 74: "mouse", 75: "remote", 76: "keyboard",
    77: "cell phone", 78: "microwave", 79: "oven", 80: "toaster", 81: "sink", 82: "refrigerator", 84: "book",
    85: "clock", 86: "vase", 87: "scissors", 88: "teddy bear", 89: "hair drier", 90: "toothbrush",
}  # fmt: skip
"""Category id -> name."""

COCO_TO_VOC = {
    5: 1, 2: 2, 16: 3, 9: 4, 44: 5, 6: 6, 3: 7, 17: 8, 62: 9, 21: 10, 67: 11, 18: 12, 19: 13, 4: 14, 1: 15, 64: 16,
    20: 17, 63: 18, 7: 19, 72: 20,
}  # fmt: skip
"""Category id -> label of VOC; all other categories are background there."""


@dataclass(frozen=True)
class CocoLabels:
    """Labels for the categories of COCO: names of the labels, and category id -> label; others are background."""

    classes: tuple[str, ...]
    of: Mapping[int, int]


def _joint() -> CocoLabels:
    others = [category for category in COCO_CATEGORIES if category not in COCO_TO_VOC]
    names = tuple(COCO_CATEGORIES[category] for category in others)
    return CocoLabels(VOC_CLASSES + names, {**COCO_TO_VOC, **dict(zip(others, range(21, 81), strict=True))})


COCO_LABELS = {
    "voc": CocoLabels(VOC_CLASSES, COCO_TO_VOC),
    "coco": CocoLabels(
        ("background", *COCO_CATEGORIES.values()),
        {category: label for label, category in enumerate(COCO_CATEGORIES, start=1)},
    ),
    "joint": _joint(),
}
"""By name: VOC's 21 labels; background and COCO's 80; VOC's 21 followed by the 60 categories that VOC does not have."""
