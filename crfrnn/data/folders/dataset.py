"""The data set in folders of one's own."""

from collections.abc import Sequence
from os import PathLike
from pathlib import Path

from torch import Tensor
from torch.utils.data import Dataset

from crfrnn.data.folders.colors import labels_of_colors, labels_of_values
from crfrnn.data.folders.description import FolderSet, files_by_name
from crfrnn.data.images import read_image
from crfrnn.data.listing import look_for_list, read_list
from crfrnn.data.sample import Sample

# The lists that recipes ask for, and those of a split.
_LISTS = {"train": "train", "train_aug": "train", "Train": "train", "val": "val", "Val": "val"}


class FolderSegmentation(Dataset[Sample]):
    """The images of one list of a `FolderSet`, as a map-style dataset of `Sample`.

    Args:
        source: folders and labels.
        split: train (also as train_aug or Train) or val of the split, all, or the path of a file with a name a line, with
            or without extension.

    Attributes:
        source: as passed.
        root: the folder of the masks.
        classes, num_labels, names: as in `VOCSegmentation`.

    Raises FileNotFoundError where a folder, the list, an image or a mask is missing; ValueError where the list is empty,
    and, when an item is read, where a file is damaged, sizes differ or a mask holds anything but labels.
    """

    def __init__(self, source: FolderSet, split: str | PathLike[str]) -> None:
        self.source = source
        self.root = source.masks
        self.classes = source.classes
        self.names = _names(source, split)
        folders = (source.images, source.masks)
        self._entries = list(zip(*(_files_of(self.names, folder, split) for folder in folders), strict=True))

    @property
    def num_labels(self) -> int:
        return len(self.classes)

    def __len__(self) -> int:
        return len(self._entries)

    def __getitem__(self, index: int) -> Sample:
        image_file, mask_file = self._entries[index]
        image, labels = read_image(image_file), _read_mask(self.source, mask_file)
        if labels.shape != image.shape[1:]:
            raise ValueError(
                f"{mask_file} is {list(labels.shape)} but its image {image_file} is {list(image.shape[1:])} "
                "(height, width); wanted equal sizes"
            )
        return Sample(image, labels, self.names[index])


def listed_photos(source: FolderSet, split: str | PathLike[str]) -> dict[str, Path]:
    """The photographs of a list by name, in its order. Raises FileNotFoundError where the list or some are missing."""
    names = _names(source, split)
    return dict(zip(names, _files_of(names, source.images, split), strict=True))


def mask_of(source: FolderSet, name: str) -> Tensor:
    """The labels of the image `name`, uint8 [H, W]. Raises FileNotFoundError where there is no mask, and as an item does."""
    path = files_by_name(source.masks).get(name)
    if path is None:
        raise FileNotFoundError(f"{source.masks} has no mask for the image {name}; wanted a file of that name")
    return _read_mask(source, path)


def _read_mask(source: FolderSet, path: Path) -> Tensor:
    if source.colors:
        return labels_of_colors(path, source.colors)
    return labels_of_values(path, len(source.classes), source.void)


def _files_of(names: Sequence[str], folder: Path, split: str | PathLike[str]) -> list[Path]:
    files = files_by_name(folder)
    missing = [name for name in names if name not in files]
    if missing:
        raise FileNotFoundError(
            f"{folder} has no file for {len(missing)} of the {len(names)} images in the list {split} "
            f"({', '.join(missing[:3])}{', ...' if len(missing) > 3 else ''}); a mask has the name of its image but "
            "for the extension. Add them, or pass lists without them"
        )
    return [files[name] for name in names]


def _names(source: FolderSet, split: str | PathLike[str]) -> list[str]:
    images = files_by_name(source.images)
    if str(split) == "all":
        return sorted(images)
    if str(split) in _LISTS:
        if len(images) < 2:
            raise ValueError(
                f"there is only the image {next(iter(images))} in {source.images}; wanted two or more, one to train and one "
                "to score, or the list all"
            )
        # Without a split, some image has no mask; the complete list names it.
        return list(source.lists.get(_LISTS[str(split)], sorted(images)))
    path = look_for_list(split, [])
    if path is not None:
        return [line if line in images else Path(line).stem for line in read_list(path)]
    raise FileNotFoundError(
        f"there is no list {split!s} of the images in {source.images}; pass train, val or all, or the path of a list file"
    )
