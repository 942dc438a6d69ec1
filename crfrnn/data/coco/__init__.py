"""COCO: photographs with the outlines of objects, as label maps."""

from crfrnn.data.coco.annotations import LabelName
from crfrnn.data.coco.dataset import CocoSegmentation, is_coco, look_for_coco
from crfrnn.data.coco.labels import COCO_CATEGORIES, COCO_LABELS, COCO_TO_VOC

__all__ = ["COCO_CATEGORIES", "COCO_LABELS", "COCO_TO_VOC", "CocoSegmentation", "LabelName", "is_coco", "look_for_coco"]
