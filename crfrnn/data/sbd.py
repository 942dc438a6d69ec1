"""SBD, the Semantic Boundaries Dataset (Hariharan et al. 2011): masks for 11,355 images of VOC, in Matlab files.

Below the root (benchmark_RELEASE/dataset):

    img/<id>.jpg
    cls/<id>.mat       GTcls.Segmentation: labels of VOC, without void
    inst/<id>.mat      GTinst.Segmentation: objects, counted from 1; GTinst.Categories: their labels
    train.txt, val.txt

scipy (extra `sbd`) reads these files.
"""

from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from crfrnn.data.images import read_image
from crfrnn.data.listing import check_files, find_list, read_list
from crfrnn.data.matfile import read_struct
from crfrnn.data.sample import VOID, Sample
from crfrnn.data.voc import VOC_CLASSES

_FILES = (("img", "jpg"), ("cls", "mat"))  # what a sample is read from


class SBDSegmentation(Dataset[Sample]):
    """SBD as a map-style dataset of `Sample`; listed files are looked for when the set is made.

    Args:
        root: the folder laid out as above, or one that holds it as `dataset` or `benchmark_RELEASE/dataset`.
        split: train, val, or the path of a list of ids.

    Attributes:
        root, classes, num_labels, names: as in `VOCSegmentation`.

    Raises FileNotFoundError where root, list or files are missing; ValueError where the list is empty and, when an item
    is read, where a file is damaged or sizes differ.
    """

    classes = VOC_CLASSES
    num_labels = len(VOC_CLASSES)

    def __init__(self, root: str | PathLike[str], split: str | PathLike[str]) -> None:
        self.root = sbd_root(Path(root))
        list_file = find_list(split, [self.root])
        self.names = read_list(list_file)
        check_files((self.root / folder / f"{name}.{end}" for name in self.names for folder, end in _FILES), list_file)

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> Sample:
        name = self.names[index]
        image, labels = read_image(self.root / "img" / f"{name}.jpg"), sbd_labels(self.root / "cls" / f"{name}.mat")
        if labels.shape != image.shape[1:]:
            raise ValueError(
                f"{self.root / 'cls' / name}.mat is {list(labels.shape)} but its image {list(image.shape[1:])} "
                "(height, width); wanted equal sizes"
            )
        return Sample(image, labels, name)


def sbd_root(root: Path) -> Path:
    """The folder that holds `cls`. Raises FileNotFoundError where there is none."""
    for candidate in (root, root / "dataset", root / "benchmark_RELEASE" / "dataset"):
        if (candidate / "cls").is_dir():
            return candidate
    raise FileNotFoundError(
        f"{root} does not hold cls/*.mat; pass the folder benchmark_RELEASE/dataset of SBD. "
        "python -m crfrnn.data.download sbd --out DIR fetches it into DIR"
    )


def is_sbd(root: Path) -> bool:
    """Whether a folder is laid out as SBD is."""
    return any((root / below / "cls").is_dir() for below in ("", "dataset", "benchmark_RELEASE/dataset"))


def sbd_labels(path: Path) -> Tensor:
    """The labels in cls/<id>.mat, uint8 [H, W]. Raises FileNotFoundError, or ValueError where the file is damaged."""
    return _map(path, read_struct(path, "GTcls", "sbd").array("Segmentation"), len(VOC_CLASSES) - 1)


def sbd_objects(path: Path) -> tuple[Tensor, list[int]]:
    """The objects in inst/<id>.mat, uint8 [H, W] counted from 1, and their labels. Raises as `sbd_labels`."""
    content = read_struct(path, "GTinst", "sbd")
    labels = content.numbers("Categories").tolist()
    wrong = [label for label in labels if not 0 < label < len(VOC_CLASSES)]
    if wrong:
        raise ValueError(f"{path} holds an object with the label {wrong[0]}; wanted 1..{len(VOC_CLASSES) - 1}")
    return _map(path, content.array("Segmentation"), len(labels)), labels


def _map(path: Path, found: NDArray[Any], largest: int) -> Tensor:
    largest = min(largest, VOID - 1)
    if found.dtype.kind not in "uifb" or found.ndim != 2 or not found.size:
        raise ValueError(f"{path} holds {found.dtype} {list(found.shape)}; wanted a map [H, W] of 0..{largest}")
    wrong = found[~np.isin(found, np.arange(largest + 1))]
    if wrong.size:
        raise ValueError(
            f"{path} holds the value {wrong[0]} in {wrong.size} pixels; wanted a map [H, W] of 0..{largest}"
        )
    return torch.from_numpy(found.astype(np.uint8))
