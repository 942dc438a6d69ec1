"""A tiny COCO on disk."""

import json
from pathlib import Path

from PIL import Image

from crfrnn.data.coco import COCO_CATEGORIES


def write_coco(root: Path, split: str, annotations: list[dict], size: tuple[int, int], images: tuple[int, ...]) -> Path:
    """`annotations` without ids over `images` of a size (height, width); their files have 12 digits for a name."""
    (root / "annotations").mkdir(parents=True, exist_ok=True)
    (root / split).mkdir(exist_ok=True)
    for number in images:
        Image.new("RGB", size[::-1], (number % 256, 90, 0)).save(root / split / f"{number:012d}.jpg")
    content = {
        "images": [
            {"id": number, "file_name": f"{number:012d}.jpg", "height": size[0], "width": size[1]} for number in images
        ],
        "annotations": [{"id": i, **each} for i, each in enumerate(annotations)],
        "categories": [{"id": number, "name": name} for number, name in COCO_CATEGORIES.items()],
    }
    (root / "annotations" / f"instances_{split}.json").write_text(json.dumps(content))
    return root


def annotation(category: int, outline: object, image: int = 9, crowd: int = 0, box: tuple = (0, 0, 1, 1)) -> dict:
    return {"category_id": category, "segmentation": outline, "image_id": image, "iscrowd": crowd, "bbox": list(box)}
