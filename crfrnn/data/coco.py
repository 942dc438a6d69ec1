"""COCO: photographs with the outlines of objects, as label maps.

Below the root:

    annotations/instances_<split>.json     or the file in the root itself
    <split>/<file name>                    the images; or images/<split>/, or images/

pycocotools (extra `coco`) turns outlines into pixels.
"""

import json
from os import PathLike
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from crfrnn.data.boxes import Box, clipped
from crfrnn.data.coco_labels import COCO_CATEGORIES, COCO_LABELS
from crfrnn.data.images import read_image
from crfrnn.data.palette import read_labels
from crfrnn.data.voc import VOID, Sample

LabelName = Literal["voc", "coco", "joint"]


class CocoObject(NamedTuple):
    """One annotation: its label (void for a crowd), its outline as in the file, and its box (x, y, width, height)."""

    label: int
    outline: Any
    box: tuple[float, float, float, float]


class _Entry(NamedTuple):
    image: Path
    key: str  # "<split> <image id>", the line of a list
    height: int
    width: int
    objects: list[CocoObject]


class CocoSegmentation(Dataset[Sample]):
    """COCO as a map-style dataset of `Sample`; every listed image is looked for when the set is made.

    Crowds are void. Categories without a label are background, and cover no object that has one: a tie is part of its
    person. Where objects overlap, the smaller one is on top.

    Args:
        root: the folder laid out as above.
        split: the name of an annotation file (train2014, val2014, ...) or of a list below the root, lists/<split>.txt, or
            the path of a list. Lines are a split and the id of an image, such as "train2014 9"; `crfrnn.data.coco_list`
            writes lists of images worth training on.
        labels: "voc" for VOC's 21, "coco" for background and COCO's 80 categories, "joint" for VOC's 21 and behind them
            the other 60.
        masks: a folder with label maps of other origin, <name>.png, to be used in place of the outlines.

    Attributes:
        root, classes, num_labels, names: as of `VOCSegmentation`; `keys` are the lines of a list of these images.

    Raises FileNotFoundError where root, annotations, list or images are missing; ValueError where a file is damaged or
    empty, an annotation names a category or an image that is not there, and, when an item is read, where an image or an
    outline is damaged or of another size.
    """

    def __init__(
        self,
        root: str | PathLike[str],
        split: str | PathLike[str],
        labels: LabelName = "voc",
        *,
        masks: str | PathLike[str] | None = None,
    ) -> None:
        self.root = Path(root)
        self.classes = COCO_LABELS[labels].classes
        self._masks = None if masks is None else Path(masks)
        self._entries = _listed(self.root, split, labels)
        if not self._entries:
            raise ValueError(f"there is no image in {split} of {self.root}; wanted one or more")
        folders = {entry.image.parent for entry in self._entries}
        there = {path for folder in folders if folder.is_dir() for path in folder.iterdir()}
        missing = [str(entry.image) for entry in self._entries if entry.image not in there]
        if missing:
            raise FileNotFoundError(
                f"{len(missing)} images of {split} do not exist: {', '.join(missing[:3])}"
                f"{', ...' if len(missing) > 3 else ''}. Add them, or pass a list of those that are there"
            )

    @property
    def num_labels(self) -> int:
        return len(self.classes)

    @property
    def names(self) -> list[str]:
        return [entry.image.stem for entry in self._entries]

    @property
    def keys(self) -> list[str]:
        return [entry.key for entry in self._entries]

    def __len__(self) -> int:
        return len(self._entries)

    def __getitem__(self, index: int) -> Sample:
        entry, image = self._entries[index], self.image(index)
        name = entry.image.stem
        labels = self.labels(index) if self._masks is None else read_labels(self._masks / f"{name}.png")
        if labels.shape != image.shape[1:]:
            raise ValueError(
                f"{entry.image} is {image.shape[2]} x {image.shape[1]}, its annotation "
                f"{labels.shape[1]} x {labels.shape[0]} (width x height); wanted equal sizes"
            )
        return Sample(image, labels, name)

    def image(self, index: int) -> Tensor:
        """The photograph alone, uint8 [3, H, W]."""
        return read_image(self._entries[index].image)

    def labels(self, index: int) -> Tensor:
        """The label map of an image without the image, uint8 [H, W]."""
        entry = self._entries[index]
        shapes = [(each.label, _pixels(each.outline, entry)) for each in entry.objects]
        labels = np.zeros((entry.height, entry.width), dtype=np.uint8)
        for label, inside in sorted(shapes, key=lambda shape: (shape[0] != VOID, -int(shape[1].sum()))):
            labels[inside] = label
        return torch.from_numpy(labels)

    def boxes(self, index: int) -> list[Box]:
        """The boxes of the objects of an image, rounded to pixels; those of crowds have void for a label."""
        entry = self._entries[index]
        boxes = []
        for label, _, (x, y, width, height) in entry.objects:
            if width < 0 or height < 0:
                raise ValueError(f"{entry.key} has a box of {width} x {height} pixels; wanted sides from 0 on")
            ends = (int(side + 0.5) for side in (y, x, y + height, x + width))
            boxes.append(Box(label, *ends))
        return clipped(boxes, entry.height, entry.width)


def is_coco(root: Path) -> bool:
    """Whether a folder holds annotations of COCO."""
    return any(True for folder in (root / "annotations", root) for _ in folder.glob("instances_*.json"))


def _listed(root: Path, split: str | PathLike[str], labels: LabelName) -> list[_Entry]:
    list_file = next((file for file in (root / "lists" / f"{split}.txt", Path(split)) if file.is_file()), None)
    if list_file is None:
        return list(_read_annotations(root, str(split), labels).values())
    lines = [line.split() for line in list_file.read_text(encoding="utf-8").splitlines() if line.strip()]
    wrong = next((line for line in lines if len(line) != 2), None)
    if wrong is not None:
        raise ValueError(f"{split} has the line {' '.join(wrong)!r}; wanted a split and an id, such as 'train2014 9'")
    known = {name: _read_annotations(root, name, labels) for name in dict.fromkeys(name for name, _ in lines)}
    unknown = [" ".join(line) for line in lines if line[1] not in known[line[0]]]
    if unknown:
        raise ValueError(f"{split} lists {len(unknown)} images that have no annotation, among them {unknown[0]!r}")
    return [known[name][number] for name, number in lines]


def _read_annotations(root: Path, split: str, labels: LabelName) -> dict[str, _Entry]:
    """The images of an annotation file by their ids, as text."""
    files = [folder / f"instances_{split}.json" for folder in (root / "annotations", root)]
    file = next((file for file in files if file.is_file()), None)
    if file is None:
        raise FileNotFoundError(f"there is no {files[0]}, nor in {root}; wanted the instance annotations of COCO")
    folders = (root / split, root / "images" / split, root / "images")
    images = next((folder for folder in folders if folder.is_dir()), folders[0])
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        entries = {
            int(image["id"]): _Entry(
                images / image["file_name"], f"{split} {image['id']}", int(image["height"]), int(image["width"]), []
            )
            for image in content["images"]
        }
        for annotation in content["annotations"]:
            category, image = int(annotation["category_id"]), int(annotation["image_id"])
            if category not in COCO_CATEGORIES:
                raise ValueError(f"{file}, annotation {annotation['id']}: there is no category {category} in COCO")
            if image not in entries:
                raise ValueError(f"{file}, annotation {annotation['id']}: there is no image {image} in this file")
            label = VOID if annotation.get("iscrowd") else COCO_LABELS[labels].of.get(category)
            if label is not None:
                outline, box = annotation["segmentation"], tuple(annotation["bbox"])
                entries[image].objects.append(CocoObject(label, outline, box))
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise ValueError(f"{file} is damaged or no instance annotation of COCO ({error!r}); fetch it again") from error
    return {str(number): entry for number, entry in entries.items()}


def _pixels(outline: Any, entry: _Entry) -> np.ndarray:
    """An outline, polygons or run lengths, as bool [H, W]."""
    try:
        from pycocotools import mask
    except ImportError as error:
        raise ImportError("COCO needs pycocotools; pip install 'crfrnn[coco]'") from error
    size = [entry.height, entry.width]
    if isinstance(outline, list):
        polygons = [polygon for polygon in outline if len(polygon) >= 6]  # less is no area, and read as boxes there
        if not polygons:
            return np.zeros(size, dtype=bool)
        runs = mask.merge(mask.frPyObjects(polygons, *size))
    else:
        if list(outline["size"]) != size:
            raise ValueError(f"{entry.key} has run lengths of size {outline['size']}; wanted that of the image, {size}")
        runs = mask.frPyObjects(outline, *size) if isinstance(outline["counts"], list) else outline
    return mask.decode(runs).astype(bool)
