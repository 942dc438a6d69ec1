"""The data set in folders of one's own."""

from os import PathLike
from pathlib import Path

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
        images, masks = files_by_name(source.images), files_by_name(source.masks)
        self.names = _names(source, split, images)
        for files, folder in ((images, source.images), (masks, source.masks)):
            missing = [name for name in self.names if name not in files]
            if missing:
                raise FileNotFoundError(
                    f"{folder} has no file for {len(missing)} of the {len(self.names)} images in the list {split} "
                    f"({', '.join(missing[:3])}{', ...' if len(missing) > 3 else ''}); a mask has the name of its image but "
                    "for the extension. Add them, or pass lists without them"
                )
        self._entries = [(images[name], masks[name]) for name in self.names]

    @property
    def num_labels(self) -> int:
        return len(self.classes)

    def __len__(self) -> int:
        return len(self._entries)

    def __getitem__(self, index: int) -> Sample:
        image_file, mask_file = self._entries[index]
        image = read_image(image_file)
        if self.source.colors:
            labels = labels_of_colors(mask_file, self.source.colors)
        else:
            labels = labels_of_values(mask_file, self.num_labels, self.source.void)
        if labels.shape != image.shape[1:]:
            raise ValueError(
                f"{mask_file} is {list(labels.shape)} but its image {image_file} is {list(image.shape[1:])} "
                "(height, width); wanted equal sizes"
            )
        return Sample(image, labels, self.names[index])


def _names(source: FolderSet, split: str | PathLike[str], images: dict[str, Path]) -> list[str]:
    path = look_for_list(split, [])
    if path is not None:
        return [line if line in images else Path(line).stem for line in read_list(path)]
    if split == "all":
        return sorted(images)
    if str(split) not in _LISTS:
        raise FileNotFoundError(
            f"there is no list {split!s} of the images in {source.images}; pass train, val or all, or the path of a list "
            "file"
        )
    # Without a split, some image has no mask; the complete list names it.
    return list(source.lists.get(_LISTS[str(split)], sorted(images)))
