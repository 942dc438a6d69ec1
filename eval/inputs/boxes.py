"""Boxes that say where objects are: from a file of the user's, or from a detector."""

import math
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from crfrnn._files import read_json
from crfrnn.data import VOC_CLASSES
from crfrnn.data.parts import Corners

COCO_NAMES = {
    "airplane": "aeroplane",
    "motorcycle": "motorbike",
    "dining table": "diningtable",
    "potted plant": "pottedplant",
    "couch": "sofa",
    "tv": "tvmonitor",
}
"""The names that COCO has for some of VOC's classes, and VOC's."""


class Found(NamedTuple):
    """An object somewhere in an image."""

    object_class: str
    box: Corners


Detector = Callable[[Tensor], list[Found]]
"""uint8 RGB [3, H, W] -> what is in it."""


def read_boxes(path: Path) -> dict[str, list[Found]]:
    """Boxes by the file names of images: {"photo.jpg": [{"class": "person", "box": [left, top, right, bottom]}]}, in pixels.

    Raises FileNotFoundError where there is no such file, and ValueError where it does not hold boxes.
    """
    content = read_json(path)
    try:
        return {name: [_found(each) for each in boxes] for name, boxes in content.items()}
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
        raise ValueError(
            f"{path} holds no boxes ({type(error).__name__}: {error}); wanted "
            '{"photo.jpg": [{"class": "person", "box": [left, top, right, bottom]}]}, in pixels'
        ) from error


def _found(entry: dict[str, Any]) -> Found:
    left, top, right, bottom = map(float, entry["box"])
    if not all(map(math.isfinite, (left, top, right, bottom))):
        raise ValueError(f"the box {entry['box']} is not finite")
    if not (left < right and top < bottom):
        raise ValueError(f"the box {entry['box']} is empty")
    return Found(str(entry["class"]), Corners(left, top, right, bottom))


def torchvision_detector(classes: Collection[str], threshold: float, device: torch.device) -> Detector:
    """torchvision's Faster R-CNN (MobileNetV3, COCO) for objects of `classes`; downloads its weights once.

    Objects with a score below `threshold` are left out. Raises ValueError where torchvision's compiled part does not load.
    """
    from crfrnn._torchvision import torchvision

    check_compiled()
    detection = torchvision.models.detection
    weights = detection.FasterRCNN_MobileNet_V3_Large_FPN_Weights.DEFAULT
    model = detection.fasterrcnn_mobilenet_v3_large_fpn(weights=weights, box_score_thresh=threshold).eval().to(device)
    names = weights.meta["categories"]

    @torch.no_grad()
    def detect(image: Tensor) -> list[Found]:
        return voc_objects(model([image.to(device) / 255])[0], names, classes)

    return detect


def voc_objects(detections: dict[str, Tensor], names: list[str], classes: Collection[str]) -> list[Found]:
    """The objects of VOC `classes` among detections as torchvision gives them; `names` are COCO's, by number."""
    named = [COCO_NAMES.get(names[number], names[number]) for number in detections["labels"].tolist()]
    boxes = detections["boxes"].tolist()
    wanted = set(classes) & set(VOC_CLASSES)
    return [Found(name, Corners(*box)) for name, box in zip(named, boxes, strict=True) if name in wanted]


def check_compiled() -> None:
    """Raise ValueError where torchvision's compiled operators, which detectors need, do not load beside this torch."""
    from crfrnn._torchvision import torchvision

    try:
        torchvision.ops.nms(torch.tensor([[0.0, 0.0, 1.0, 1.0]]), torch.ones(1), 0.5)
    except (RuntimeError, NotImplementedError) as error:
        raise ValueError(
            f"torchvision {torchvision.__version__} was not built for torch {torch.__version__}, and its detectors do not "
            "run; install the build that belongs to this torch, or pass --boxes"
        ) from error
