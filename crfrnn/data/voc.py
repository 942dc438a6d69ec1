"""Data sets in the layout of PASCAL VOC: photographs, palette masks and lists of names.

Below the root:

    JPEGImages/<id>.jpg
    SegmentationClass/<id>.png         the official masks
    SegmentationClassAug/<id>.png      masks of the larger training set (VOC and SBD)
    ImageSets/Segmentation/<split>.txt
    classes.txt                        label names, one a line, where they are not those of VOC
"""

from os import PathLike
from pathlib import Path
from typing import NamedTuple

import numpy as np
from torch import Tensor
from torch.utils.data import Dataset

from crfrnn.data.images import read_image
from crfrnn.data.listing import check_files, find_list, origin_of, read_lines, read_list
from crfrnn.data.palette import read_labels
from crfrnn.data.sample import VOID, Sample

VOC_CLASSES = (
    "background",
    *("aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
    *("diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor"),
)
# The lists that VOC itself publishes; every image in them has an official mask.
_OFFICIAL_SPLITS = ("train", "val", "trainval")


class _Entry(NamedTuple):
    image: Path
    mask: Path


class VOCSegmentation(Dataset[Sample]):
    """A segmentation set in the VOC layout, as a map-style dataset of `Sample`.

    Every listed file is looked for when the set is made, so that a missing one does not end an hour of training;
    contents are checked when an item is read.

    Args:
        root: a VOCdevkit folder, the VOC2012 folder in it, or any other folder that holds JPEGImages.
        split: a list in ImageSets/Segmentation (train, val, train_aug, your own), or the path of a list file. A line is
            the id of an image, or the two paths "/JPEGImages/<id>.jpg /SegmentationClassAug/<id>.png" below the root,
            as in DeepLab's lists.
        masks: the folder that holds the masks of listed ids. By default SegmentationClass for lists called train, val and
            trainval, whose scores are compared with published numbers, and SegmentationClassAug for any other list; where
            only one of the two folders exists, that one.

    Attributes:
        root: the folder that holds JPEGImages.
        classes: the names of the labels 0, 1, ...: the lines of classes.txt where the set has one, else VOC's 21.

    Raises:
        FileNotFoundError: the root, the list, the masks, or a listed file is missing.
        ValueError: the list or classes.txt is empty or malformed. When an item is read: the image or the mask is
            damaged, their sizes differ, or the mask holds colors or labels beyond `classes`.
    """

    def __init__(self, root: str | PathLike[str], split: str | PathLike[str], *, masks: str | None = None) -> None:
        self.root = _find_root(Path(root), split)
        self.classes = class_names(self.root)
        list_file = find_list(split, [_lists(self.root)], origin=origin_of(split, self.root))
        self._entries = _read_entries(self.root, list_file, masks)
        files = [file for kind in zip(*self._entries, strict=True) for file in kind]
        check_files(files, list_file, ", or choose another folder of masks")

    @property
    def num_labels(self) -> int:
        return len(self.classes)

    @property
    def names(self) -> list[str]:
        """The names of the images, in the order of the list."""
        return [entry.mask.stem for entry in self._entries]

    def __len__(self) -> int:
        return len(self._entries)

    def __getitem__(self, index: int) -> Sample:
        entry = self._entries[index]
        image, labels = read_image(entry.image), read_labels(entry.mask)
        if labels.shape != image.shape[1:]:
            raise ValueError(
                f"{entry.mask} is {_size(labels)} but its image {entry.image} is {_size(image)} (width x height); "
                "wanted equal sizes, so restore the file that was resized"
            )
        counts = np.bincount(labels.numpy().ravel(), minlength=VOID)
        wrong = self.num_labels + np.flatnonzero(counts[self.num_labels : VOID])
        if wrong.size:
            raise ValueError(
                f"{entry.mask} holds the label {wrong[0]} in {counts[wrong[0]]} pixels; "
                f"wanted 0..{self.num_labels - 1}, or {VOID} for void. "
                f"Repair the mask, or name the labels of your own set in {self.root / 'classes.txt'}"
            )
        return Sample(image, labels, entry.mask.stem)


def list_names(root: str | PathLike[str], split: str | PathLike[str]) -> tuple[Path, list[str]]:
    """The folder that holds JPEGImages, and the ids in a list, without looking for masks; raises as `VOCSegmentation`."""
    folder = _find_root(Path(root), split)
    lines = read_list(find_list(split, [_lists(folder)], origin=origin_of(split, folder)))
    return folder, [Path(line.split()[0]).stem for line in lines]


def _size(picture: Tensor) -> str:
    return f"{picture.shape[-1]} x {picture.shape[-2]}"


def _find_root(root: Path, split: str | PathLike[str]) -> Path:
    remedy = origin_of(split, root) or origin_of("train", root)
    if not root.is_dir():
        raise FileNotFoundError(
            f"there is no folder {root}; wanted one laid out like VOCdevkit, with the list {split!s}. {remedy}"
        )
    for candidate in (root, root / "VOC2012", root / "VOCdevkit" / "VOC2012"):
        if (candidate / "JPEGImages").is_dir():
            return candidate
    raise FileNotFoundError(
        f"{root} holds neither JPEGImages nor VOC2012/JPEGImages; pass the folder of a data set with the list {split!s}. "
        f"{remedy}"
    )


def class_names(root: Path) -> tuple[str, ...]:
    """The names of the labels of a set in VOC's layout. Raises ValueError where its classes.txt is malformed."""
    path = root / "classes.txt"
    if not path.is_file():
        return VOC_CLASSES
    classes = tuple(read_lines(path))
    if not 2 <= len(classes) <= VOID or len(set(classes)) < len(classes):
        raise ValueError(
            f"{path} has {len(classes)} lines, {len(set(classes))} of them different; "
            f"wanted 2 to {VOID} different names, background first"
        )
    return classes


def _lists(root: Path) -> Path:
    return root / "ImageSets" / "Segmentation"


def _read_entries(root: Path, list_file: Path, masks: str | None) -> list[_Entry]:
    mask_folder = None
    entries = []
    for number, line in enumerate(read_list(list_file), start=1):
        fields = line.split()
        if len(fields) == 1:
            mask_folder = mask_folder or _find_masks(root, list_file.stem, masks)
            entries.append(_Entry(root / "JPEGImages" / f"{line}.jpg", mask_folder / f"{line}.png"))
        elif len(fields) == 2 and masks is None:
            image, mask = (root / field.lstrip("/") for field in fields)
            entries.append(_Entry(image, mask))
        elif len(fields) == 2:
            raise ValueError(
                f"{list_file} names its own mask files ({line!r}), yet the folder {masks!r} was given for masks; "
                "give a list of ids, or no folder"
            )
        else:
            raise ValueError(f"{list_file}, entry {number}: got {line!r}; wanted an id or the paths of image and mask")
    return entries


def _find_masks(root: Path, split: str, masks: str | None) -> Path:
    official, augmented = "SegmentationClass", "SegmentationClassAug"
    if masks is not None:
        preferred = [masks]
    elif split in _OFFICIAL_SPLITS:
        preferred = [official, augmented]
    else:
        preferred = [augmented, official]
    for name in preferred:
        if (root / name).is_dir():
            return root / name
    raise FileNotFoundError(f"{root} has no folder {' or '.join(preferred)}; give the name of its folder of masks")
