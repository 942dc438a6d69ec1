"""COCO: photographs with the outlines of objects, as label maps.

Below the root:

    annotations/instances_<split>.json     or the file in the root itself
    <split>/<file name>                    the images; or images/<split>/, or images/

pycocotools (extra `coco`) turns outlines into pixels.
"""

import json
import math
from os import PathLike
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from crfrnn.data.boxes import LabeledBox, clipped
from crfrnn.data.coco.labels import COCO_CATEGORIES, COCO_LABELS
from crfrnn.data.images import read_image
from crfrnn.data.listing import check_files, look_for_list, read_lines
from crfrnn.data.palette import read_labels
from crfrnn.data.sample import VOID, Sample

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
        labels: "voc" for VOC's 21, "coco" for background and COCO's 80 categories, "joint" for VOC's 21 followed by
            the other 60.
        masks: a folder with label maps of other origin, <name>.png, to be used in place of the outlines; they are looked
            for when the set is made.

    Attributes:
        root, classes, num_labels, names: as of `VOCSegmentation`; `keys` are the lines of a list of these images.

    Raises FileNotFoundError where root, annotations, list, images or masks are missing; ValueError where a file is damaged
    or empty, an annotation names a category or an image that is not there, and, when an item is read, where an image, an
    outline or a mask is damaged, of another size, or has labels beyond `classes`.
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
        check_files((entry.image for entry in self._entries), split)
        if self._masks is not None:
            check_files((self._masks / f"{name}.png" for name in self.names), split)

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
        labels = self.labels(index) if self._masks is None else self._read_mask(self._masks / f"{name}.png")
        if labels.shape != image.shape[1:]:
            raise ValueError(
                f"{entry.image} is {image.shape[2]} x {image.shape[1]}, its annotation "
                f"{labels.shape[1]} x {labels.shape[0]} (width x height); wanted equal sizes"
            )
        return Sample(image, labels, name)

    def _read_mask(self, path: Path) -> Tensor:
        labels = read_labels(path)
        largest = int(torch.where(labels == VOID, 0, labels).max())
        if largest >= self.num_labels:
            raise ValueError(
                f"{path} holds the label {largest}; wanted 0..{self.num_labels - 1}, or {VOID} for void: make it again"
            )
        return labels

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

    def boxes(self, index: int) -> list[LabeledBox]:
        """The boxes of the objects of an image, rounded to pixels; those of crowds have void for a label."""
        entry = self._entries[index]
        boxes = []
        for label, _, (x, y, width, height) in entry.objects:
            if width < 0 or height < 0:
                raise ValueError(f"{entry.key} has a box of {width:g} x {height:g} pixels; wanted sides from 0 on")
            ends = (int(side + 0.5) for side in (y, x, y + height, x + width))
            boxes.append(LabeledBox(label, *ends))
        return clipped(boxes, entry.height, entry.width)


def is_coco(root: Path) -> bool:
    """Whether a folder holds annotations of COCO."""
    return any(True for folder in (root / "annotations", root) for _ in folder.glob("instances_*.json"))


def _listed(root: Path, split: str | PathLike[str], labels: LabelName) -> list[_Entry]:
    list_file = look_for_list(split, [root / "lists"])
    if list_file is None:
        return list(_read_annotations(root, str(split), labels).values())
    lines = [line.split() for line in read_lines(list_file)]
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
        raise FileNotFoundError(
            f"there is neither a list {root / 'lists' / split}.txt nor {files[0]}; wanted the instance annotations of COCO, "
            "or a list of its images (python -m crfrnn.data.coco_list writes one)"
        )
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
        found = [_read_annotation(annotation) for annotation in content["annotations"]]
        categories = {int(each["id"]): str(each["name"]) for each in content["categories"]}
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{file} is damaged or no instance annotation of COCO ({error!r}); fetch it again") from error
    renamed = [(number, name) for number, name in categories.items() if COCO_CATEGORIES.get(number) != name]
    if renamed:
        number, name = renamed[0]
        raise ValueError(
            f"{file}: category {number} is {name!r}, in COCO {COCO_CATEGORIES.get(number, 'nothing')!r}; wanted COCO's own "
            "categories and their numbers"
        )
    for number, category, image, crowd, outline, box in found:
        if category not in COCO_CATEGORIES:
            raise ValueError(f"{file}, annotation {number}: there is no category {category} in COCO")
        if image not in entries:
            raise ValueError(f"{file}, annotation {number}: there is no image {image} in this file")
        label = VOID if crowd else COCO_LABELS[labels].of.get(category)
        if label is not None:
            entries[image].objects.append(CocoObject(label, outline, box))
    return {str(number): entry for number, entry in entries.items()}


class _Annotation(NamedTuple):
    number: int
    category: int
    image: int
    crowd: bool
    outline: Any
    box: tuple[float, float, float, float]


def _read_annotation(content: Any) -> _Annotation:
    x, y, width, height = map(float, content["bbox"])
    if not all(map(math.isfinite, (x, y, width, height))):
        raise ValueError(f"the box {content['bbox']} of annotation {content['id']}")
    number, category, image = (int(content[key]) for key in ("id", "category_id", "image_id"))
    crowd = bool(content.get("iscrowd"))
    return _Annotation(number, category, image, crowd, content["segmentation"], (x, y, width, height))


def _pixels(outline: Any, entry: _Entry) -> np.ndarray:
    """An outline, polygons or run lengths, as bool [H, W]."""
    try:
        from pycocotools import mask
    except ImportError as error:
        raise ImportError("COCO needs pycocotools; pip install 'crfrnn[coco]'") from error
    size = [entry.height, entry.width]
    try:
        if isinstance(outline, list):
            # Fewer than six numbers enclose no area, and pycocotools would read them as boxes.
            polygons = [polygon for polygon in outline if len(polygon) >= 6]
            if any(len(polygon) % 2 for polygon in polygons):
                raise ValueError("a polygon of an odd number of coordinates")
            if not polygons:
                return np.zeros(size, dtype=bool)
            runs = mask.merge(mask.frPyObjects(polygons, *size))
        else:
            runs, counts = outline, outline["counts"]
            if list(outline["size"]) != size:
                raise ValueError(f"run lengths of size {outline['size']}, that of the image is {size}")
            if isinstance(counts, list):
                if sum(counts) != entry.height * entry.width:
                    raise ValueError(f"run lengths of {sum(counts)} pixels, the image has {entry.height * entry.width}")
                runs = mask.frPyObjects(outline, *size)
        return mask.decode(runs).astype(bool)
    except (KeyError, OverflowError, TypeError, ValueError) as error:
        raise ValueError(f"{entry.key} has a damaged outline ({error}); fetch the annotations again") from error
