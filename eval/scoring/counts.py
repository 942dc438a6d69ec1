"""Pixels of every image of a set by true and predicted label, kept beside a record of scores as RECORD-counts.npz.

A score over a set says how good a labeling is; the counts of its images say how sure a difference between two scores is. See
`eval.scoring.bootstrap`. An image has few pairs of labels, so that only those that occur are stored.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from crfrnn._files import load_arrays, replacing
from crfrnn.data import VOID, Sample
from eval.scoring.borders import distance_to_void

BAND = 5
"""half width in pixels of the band around the void borders of the truth that has counts of its own"""
REGIONS = ("image", "band")
COLUMNS = ("row", "region", "image", "true label", "predicted label", "pixels")


@dataclass(frozen=True)
class Areas:
    """What the IoU of a labeling is made of, by image.

    Attributes:
        images: names.
        classes: names.
        hits: pixels [images, classes] whose label is right.
        unions: pixels that have the class in the truth, the prediction or both.
        truths: pixels that have it in the truth.
    """

    images: tuple[str, ...]
    classes: tuple[str, ...]
    hits: np.ndarray
    unions: np.ndarray
    truths: np.ndarray


class ImageCounts:
    """Counts of every image under several rows, in the whole image and in the band; an observer for `evaluate`.

    Args:
        classes: the names of the labels 0, 1, ...
    """

    def __init__(self, classes: Sequence[str]) -> None:
        self.classes = tuple(classes)
        self.rows: list[str] = []
        self.images: list[str] = []
        self._cells: list[np.ndarray] = []

    def __call__(self, sample: Sample, unary: Tensor, labels: Mapping[str, Tensor]) -> None:
        self.add(sample.name, matrices(labels, sample.labels, len(self.classes)))

    def add(self, image: str, counted: Mapping[str, Tensor]) -> None:
        """Add the `matrices` of one image; rows that are new are added, too."""
        for row, matrix in counted.items():
            region, true, predicted = matrix.nonzero().numpy().T
            place = [np.full_like(region, number) for number in (_number(self.rows, row), _number(self.images, image))]
            pixels = matrix[region, true, predicted].numpy()
            self._cells.append(np.stack([place[0], region, place[1], true, predicted, pixels], 1))

    def cells(self) -> np.ndarray:
        """All counts that are not zero, int64 [K, 6] with the columns `COLUMNS`."""
        return np.concatenate([np.zeros((0, len(COLUMNS)), np.int64), *self._cells])

    def total(self, row: str) -> Tensor:
        """Pixels of all images by true and predicted label, int64 [L, L]. Raises ValueError where there is no such row."""
        cells = self._of(row, "image")
        total = np.zeros((len(self.classes), len(self.classes)), np.int64)
        np.add.at(total, (cells[:, 3], cells[:, 4]), cells[:, 5])
        return torch.from_numpy(total)

    def areas(self, row: str, region: str = "image") -> Areas:
        """What the IoU of a row is made of. Raises ValueError where there is no such row."""
        _, _, image, true, predicted, pixels = self._of(row, region).T
        shape = (len(self.images), len(self.classes))
        hits, truths, predictions = (np.zeros(shape) for _ in range(3))
        right = true == predicted
        np.add.at(hits, (image[right], true[right]), pixels[right])
        np.add.at(truths, (image, true), pixels)
        np.add.at(predictions, (image, predicted), pixels)
        return Areas(tuple(self.images), self.classes, hits, truths + predictions - hits, truths)

    def _of(self, row: str, region: str) -> np.ndarray:
        """The cells of a row in a region. Raises ValueError where there is no such row."""
        if row not in self.rows:
            raise ValueError(f"there is no row {row!r}; the rows are {', '.join(map(repr, self.rows))}")
        cells = self.cells()
        return cells[(cells[:, 0] == self.rows.index(row)) & (cells[:, 1] == REGIONS.index(region))]

    @classmethod
    def joined(cls, parts: Sequence["ImageCounts"]) -> "ImageCounts":
        """The counts of several processes, each of images of its own."""
        whole = cls(parts[0].classes)
        for part in parts:
            cells = part.cells()
            for column, names, ours in ((0, part.rows, whole.rows), (2, part.images, whole.images)):
                numbers = np.array([_number(ours, name) for name in names], np.int64)
                cells[:, column] = numbers[cells[:, column]]
            whole._cells.append(cells)
        return whole

    def write(self, record: Path) -> None:
        """Write the counts beside a record of scores, completely or not at all."""
        content = {"classes": list(self.classes), "rows": self.rows, "images": self.images}
        names = {name: np.array(values, dtype=np.str_) for name, values in content.items()}
        path = counts_path(record)
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as partial, partial.open("wb") as file:
            np.savez_compressed(file, allow_pickle=False, band=BAND, cells=self.cells().astype(np.int32), **names)

    @classmethod
    def read(cls, record: Path) -> "ImageCounts":
        """The counts beside a record of scores.

        Raises FileNotFoundError where there is no record, and ValueError where there are no counts beside it, as beside
        those of earlier versions, or they are damaged.
        """
        path = counts_path(record)
        if not record.is_file():
            raise FileNotFoundError(
                f"there is no file {record}; wanted a record of scores, such as scores.json of a run"
            )
        if not path.is_file():
            raise ValueError(
                f"{record} keeps no counts of single images: there is no {path.name} beside it, as an earlier version wrote "
                "none. Give its command again, and its scores can be compared"
            )
        arrays = load_arrays(path)
        try:
            counts = cls(arrays["classes"].tolist())
            counts.rows, counts.images = arrays["rows"].tolist(), arrays["images"].tolist()
            counts._cells = [_checked(arrays["cells"], counts)]
            band = int(arrays["band"])
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{path} holds no counts ({error}); give the command of {record} again") from error
        if band != BAND:
            raise ValueError(f"{path} has a band of {band} pixels; wanted {BAND}: give the command of {record} again")
        return counts


def counts_path(record: Path) -> Path:
    """The file of the counts that belong to a record of scores."""
    return record.with_name(f"{record.stem}-counts.npz")


def matrices(labels: Mapping[str, Tensor], truth: Tensor, num_labels: int) -> dict[str, Tensor]:
    """Pixels of one image by region, true and predicted label, int64 [2, L, L] for every row of `labels` [H, W].

    The regions are the whole image and the band of `BAND` pixels around void; void itself counts nowhere.
    """
    truth = truth.cpu()
    known = truth != VOID
    band = distance_to_void(truth, BAND)[known] > 0
    true = truth[known].long()
    found = {}
    for row, prediction in labels.items():
        cells = true * num_labels + prediction.cpu()[known].long()
        parts = [torch.bincount(part, minlength=num_labels**2) for part in (cells, cells[band])]
        found[row] = torch.stack(parts).view(len(REGIONS), num_labels, num_labels)
    return found


def _checked(cells: np.ndarray, counts: ImageCounts) -> np.ndarray:
    """Cells from a file, as int64. Raises ValueError where they cannot be of these rows, images and classes."""
    labels = len(counts.classes)
    limits = (len(counts.rows), len(REGIONS), len(counts.images), labels, labels, 2**31)
    if cells.ndim != 2 or cells.shape[1] != len(COLUMNS) or cells.dtype.kind not in "iu":
        raise ValueError(f"the cells are {cells.dtype} {list(cells.shape)}; wanted whole numbers [K, {len(COLUMNS)}]")
    cells = cells.astype(np.int64)
    for column, limit, values in zip(COLUMNS, limits, cells.T, strict=True):
        if ((values < 0) | (values >= limit)).any():
            raise ValueError(f"a {column} is beyond 0..{limit - 1}")
    return cells


def _number(names: list[str], name: str) -> int:
    """The place of a name in a list, which it is added to where it is new."""
    if name not in names:
        names.append(name)
    return names.index(name)
