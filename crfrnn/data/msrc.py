"""MSRC-21 (MSRC v2): 591 photographs whose ground truth is painted in colors.

Below the root:

    Images/<id>.bmp             or another kind of image file
    GroundTruth/<id>_GT.bmp     likewise
    <split>.txt                 here or in splits/: an id a line, with or without ".bmp"

Of the 23 classes that have a color, horse and mountain are too rare to score and count as void, as is usual.
"""

from collections.abc import Callable
from os import PathLike
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import Dataset

from crfrnn.data.images import read_image
from crfrnn.data.listing import check_files, find_list, origin_of, read_list
from crfrnn.data.sample import VOID, Sample

MSRC_COLORS = {
    "building": (128, 0, 0),
    "grass": (0, 128, 0),
    "tree": (128, 128, 0),
    "cow": (0, 0, 128),
    "sheep": (0, 128, 128),
    "sky": (128, 128, 128),
    "aeroplane": (192, 0, 0),
    "water": (64, 128, 0),
    "face": (192, 128, 0),
    "car": (64, 0, 128),
    "bicycle": (192, 0, 128),
    "flower": (64, 128, 128),
    "sign": (192, 128, 128),
    "bird": (0, 64, 0),
    "book": (128, 64, 0),
    "chair": (0, 192, 0),
    "road": (128, 64, 128),
    "cat": (0, 192, 128),
    "dog": (128, 192, 128),
    "body": (64, 64, 0),
    "boat": (192, 64, 0),
}
"""The classes in the order of their labels, and their colors in the ground truth, RGB."""

VOID_COLORS = {"void": (0, 0, 0), "horse": (128, 0, 128), "mountain": (64, 0, 0)}

MSRC_CLASSES = tuple(MSRC_COLORS)

_UNKNOWN = 254  # between the labels and void


class MSRC21(Dataset[Sample]):
    """The images of one list of MSRC-21, as a map-style dataset of `Sample`; every listed file is looked for at once.

    Args:
        root: the folder that holds Images and GroundTruth.
        split: the name of a list below the root (Train, Val, Test), or the path of a list file.

    Attributes:
        root, classes, num_labels, names: as in `VOCSegmentation`.

    Raises FileNotFoundError where the root, the list or a listed file is missing; ValueError where the list is empty,
    and, when an item is read, where a file is damaged, sizes differ or the ground truth holds another color.
    """

    classes = MSRC_CLASSES
    num_labels = len(MSRC_CLASSES)

    def __init__(self, root: str | PathLike[str], split: str | PathLike[str]) -> None:
        self.root = Path(root)
        if not is_msrc(self.root):
            raise FileNotFoundError(
                f"{self.root} does not hold Images and GroundTruth; pass the folder of MSRC-21. "
                "python -m crfrnn.data.download msrc21 --out DIR fetches it into DIR"
            )
        list_file = find_list(split, [self.root / "splits", self.root], origin=origin_of(split, self.root))
        self.names = [Path(line).stem for line in read_list(list_file)]
        images, truths = (_by_stem(self.root / folder) for folder in ("Images", "GroundTruth"))
        self._entries = [(images(name), truths(f"{name}_GT")) for name in self.names]
        check_files([file for entry in self._entries for file in entry], list_file)

    def __len__(self) -> int:
        return len(self._entries)

    def __getitem__(self, index: int) -> Sample:
        image_file, truth_file = self._entries[index]
        image, colors = read_image(image_file), read_image(truth_file)
        if colors.shape != image.shape:
            raise ValueError(
                f"{truth_file} is {list(colors.shape[1:])} but its image {image_file} is {list(image.shape[1:])} "
                "(height, width); wanted equal sizes"
            )
        labels = msrc_labels(colors)
        unknown = colors[:, labels == _UNKNOWN]
        if unknown.numel():
            raise ValueError(
                f"{truth_file} holds the color {tuple(unknown[:, 0].tolist())} ({unknown.shape[1]} pixels outside the "
                "table of MSRC-21); wanted the original ground truth, stored without loss"
            )
        return Sample(image, labels, self.names[index])


def _by_stem(folder: Path) -> Callable[[str], Path]:
    """Maps a name to the file of that name in `folder`, whatever its suffix; to a .bmp where there is none."""
    files = {path.stem: path for path in folder.iterdir()}
    return lambda name: files.get(name, folder / f"{name}.bmp")


def msrc_labels(colors: Tensor) -> Tensor:
    """Ground truth in colors, uint8 [3, H, W] -> labels uint8 [H, W]: 255 for void colors, 254 for unknown ones."""
    labels = torch.full(colors.shape[1:], _UNKNOWN, dtype=torch.uint8)
    for label, color in [*enumerate(MSRC_COLORS.values()), *((VOID, color) for color in VOID_COLORS.values())]:
        labels[(colors == torch.tensor(color).view(3, 1, 1)).all(0)] = label
    return labels


def is_msrc(root: Path) -> bool:
    """Whether a folder is laid out as MSRC-21 is."""
    return (root / "Images").is_dir() and (root / "GroundTruth").is_dir()
