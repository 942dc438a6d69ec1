"""COCO: photographs with the outlines of objects, as label maps.

Below the root:

    annotations/instances_<split>.json     or the file in the root itself
    <split>/<file name>                    the images; or images/<split>/, or images/

pycocotools (extra `coco`) turns polygons into pixels.
"""

from os import PathLike
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from crfrnn.data.boxes import LabeledBox, clipped
from crfrnn.data.coco.annotations import (
    CocoImage,
    CocoObject,
    LabelName,
    annotation_file,
    annotation_folders,
    read_annotations,
)
from crfrnn.data.coco.labels import COCO_LABELS
from crfrnn.data.coco.outlines import outline_mask
from crfrnn.data.images import read_image, stored_size
from crfrnn.data.listing import check_files, look_for_list, read_lines
from crfrnn.data.palette import read_labels
from crfrnn.data.sample import VOID, Sample


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
        masks: a folder of label maps <name>.png to use instead of the outlines; they, too, are looked for when the set is
            made.

    Attributes:
        root, classes, num_labels, names: as in `VOCSegmentation`; `keys` are the lines of a list of these images.

    Raises FileNotFoundError where root, annotations, list, images or masks are missing; ValueError where a file is damaged
    or empty, an annotation names an unknown category or image, and, when an item is read, where an image, an outline or a
    mask is damaged, has another size, or labels beyond `classes`.
    """

    def __init__(
        self,
        root: str | PathLike[str],
        split: str | PathLike[str],
        labels: LabelName = "voc",
        *,
        masks: str | PathLike[str] | None = None,
    ) -> None:
        if labels not in COCO_LABELS:
            raise ValueError(f"labels is {labels!r}; wanted one of {', '.join(COCO_LABELS)}")
        self.root = Path(root)
        self.classes = COCO_LABELS[labels].classes
        self._masks = None if masks is None else Path(masks)
        self._entries = _listed(self.root, split, labels)
        if not self._entries:
            raise ValueError(f"there is no image in {split} of {self.root}; wanted one or more")
        check_files((entry.path for entry in self._entries), split)
        if self._masks is not None:
            check_files((self._masks / f"{name}.png" for name in self.names), split)

    @property
    def num_labels(self) -> int:
        return len(self.classes)

    @property
    def names(self) -> list[str]:
        return [entry.path.stem for entry in self._entries]

    @property
    def keys(self) -> list[str]:
        return [entry.key for entry in self._entries]

    def __len__(self) -> int:
        return len(self._entries)

    def __getitem__(self, index: int) -> Sample:
        image, name = self.image(index), self._entries[index].path.stem
        if self._masks is None:
            return Sample(image, self.labels(index), name)
        path = self._masks / f"{name}.png"
        labels = self._read_mask(path)
        if labels.shape != image.shape[1:]:
            raise ValueError(
                f"{path} is {labels.shape[1]} x {labels.shape[0]} but its image {self._entries[index].path} "
                f"{image.shape[2]} x {image.shape[1]} (width x height); wanted equal sizes"
            )
        return Sample(image, labels, name)

    def _read_mask(self, path: Path) -> Tensor:
        labels = read_labels(path)
        largest = int(torch.where(labels == VOID, 0, labels).max())
        if largest >= self.num_labels:
            raise ValueError(
                f"{path} holds the label {largest}; wanted 0..{self.num_labels - 1}, or {VOID} for void: write it again"
            )
        return labels

    def image(self, index: int) -> Tensor:
        """The photograph alone, uint8 [3, H, W]."""
        return read_image(self._entries[index].path)

    def labels(self, index: int) -> Tensor:
        """The label map of an image, uint8 [H, W]; of the image itself only the size is read."""
        entry = self._of_its_size(index)
        shapes = [(each.label, _mask(each, entry)) for each in entry.objects]
        labels = np.zeros((entry.height, entry.width), dtype=np.uint8)
        for label, inside in sorted(shapes, key=lambda shape: (shape[0] != VOID, -int(shape[1].sum()))):
            labels[inside] = label
        return torch.from_numpy(labels)

    def boxes(self, index: int) -> list[LabeledBox]:
        """The boxes of the objects of an image, rounded to pixels; those of crowds have void for a label."""
        entry = self._of_its_size(index)
        boxes = []
        for each in entry.objects:
            x, y, width, height = each.box
            if width < 0 or height < 0:
                raise ValueError(
                    f"{_where(each, entry)}: a box of {width:g} x {height:g} pixels; wanted sides from 0 on"
                )
            ends = (int(side + 0.5) for side in (y, x, y + height, x + width))
            boxes.append(LabeledBox(each.label, *ends))
        return clipped(boxes, entry.height, entry.width)

    def _of_its_size(self, index: int) -> CocoImage:
        """An image and its objects. Raises ValueError where its file has another size than the annotations say."""
        entry = self._entries[index]
        height, width = stored_size(entry.path)
        if (height, width) != (entry.height, entry.width):
            raise ValueError(
                f"{entry.path} is {width} x {height} but {entry.annotations} says {entry.width} x {entry.height} "
                "(width x height); wanted equal sizes"
            )
        return entry


def _mask(each: CocoObject, entry: CocoImage) -> np.ndarray:
    try:
        return outline_mask(each.outline, entry.height, entry.width)
    except ValueError as error:
        raise ValueError(f"{_where(each, entry)}: {error}; fetch the annotations again") from error


def _where(each: CocoObject, entry: CocoImage) -> str:
    return f"{entry.annotations}, annotation {each.number}"


def is_coco(root: Path) -> bool:
    """Whether a folder holds annotations of COCO."""
    return any(True for folder in annotation_folders(root) for _ in folder.glob("instances_*.json"))


def look_for_coco(root: Path, split: str | PathLike[str]) -> None:
    """Raise FileNotFoundError where the list, or the annotations that it is about, are missing; none are read."""
    lines = _read_keys(root, split)
    for name in [str(split)] if lines is None else dict.fromkeys(name for name, _ in lines):
        annotation_file(root, name)


def _read_keys(root: Path, split: str | PathLike[str]) -> list[list[str]] | None:
    """Splits and ids in a list; None where `split` is an annotation file."""
    list_file = look_for_list(split, [root / "lists"])
    if list_file is None:
        return None
    lines = [line.split() for line in read_lines(list_file)]
    wrong = next((line for line in lines if len(line) != 2), None)
    if wrong is not None:
        raise ValueError(f"{split} has the line {' '.join(wrong)!r}; wanted a split and an id, such as 'train2014 9'")
    return lines


def _listed(root: Path, split: str | PathLike[str], labels: LabelName) -> list[CocoImage]:
    lines = _read_keys(root, split)
    if lines is None:
        return list(read_annotations(root, str(split), labels).values())
    known = {name: read_annotations(root, name, labels) for name in dict.fromkeys(name for name, _ in lines)}
    unknown = [" ".join(line) for line in lines if line[1] not in known[line[0]]]
    if unknown:
        raise ValueError(
            f"{split} lists images that are not in the annotations, {len(unknown)} in all, such as {unknown[0]!r}"
        )
    return [known[name][number] for name, number in lines]
