"""Which images of a set to look at: the score of every image under every column, and where columns differ."""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from crfrnn.data import VOID, SegmentationSet
from eval.pictures.figures import edges
from eval.scoring.counts import ImageCounts, matrices
from eval.scoring.metrics import Confusion, Scores, comparable_scores
from eval.scoring.systems import System

CLOSE_UP = 0.35  # side of a close-up, as a part of the shorter side of its image


@dataclass(frozen=True)
class Result:
    """What was found for one image.

    Attributes:
        index: in the set.
        mean_iou: of every column on this image, in percent, over the classes in its truth.
        packed: the labels of every column, compressed: a whole set has to fit into memory.
    """

    index: int
    name: str
    mean_iou: dict[str, float]
    packed: dict[str, bytes]

    def labels(self, column: str, size: tuple[int, int]) -> Tensor:
        """The labels of a column, uint8 [H, W]."""
        return torch.frombuffer(bytearray(zlib.decompress(self.packed[column])), dtype=torch.uint8).view(size)


def label_set(
    systems: Sequence[System], dataset: SegmentationSet, indices: Sequence[int], columns: Sequence[str]
) -> tuple[list[Result], dict[str, Scores], ImageCounts]:
    """Label every image with every system.

    Returns the results by image, the scores of the columns over all images, and the counts of every image.

    Leaves out images whose truth is void everywhere. Raises as reading an image and the systems do.
    """
    results = []
    total = {column: Confusion(dataset.classes) for column in columns}
    counts = ImageCounts(dataset.classes)
    for index in tqdm(indices, desc="labeling", unit="image"):
        sample = dataset[index]
        if not (sample.labels != VOID).any():
            continue
        found = {column: labels for system in systems for column, labels in system.labels(sample).items()}
        for column in columns:
            total[column].update(found[column], sample.labels)
        counted = matrices({column: found[column] for column in columns}, sample.labels, dataset.num_labels)
        counts.add(sample.name, counted)
        mean_iou = {
            column: comparable_scores(whole, dataset.classes).mean_iou for column, (whole, _) in counted.items()
        }
        packed = {column: zlib.compress(found[column].numpy().tobytes()) for column in columns}
        results.append(Result(index, sample.name, mean_iou, packed))
    return results, {column: confusion.scores() for column, confusion in total.items()}, counts


def pick(gains: Mapping[str, float], count: int) -> dict[str, list[str]]:
    """The names of `count` images each with the largest, the median and the least gain; all images where there are too few.

    Every list is in the order of falling gains.
    """
    order = sorted(gains, key=lambda name: -gains[name])
    if len(order) <= 3 * count:
        return {"all": order}
    middle = (len(order) - count) // 2
    return {"best": order[:count], "median": order[middle : middle + count], "worst": order[-count:]}


def close_up(before: Tensor, after: Tensor, truth: Tensor) -> tuple[int, int, int]:
    """The square (top, left, side) where two labelings [H, W] differ most near the borders in the truth.

    Where they agree near all borders, it is the square with most of the borders.
    """
    height, width = truth.shape
    side = max(1, round(CLOSE_UP * min(height, width)))
    reach = max(1, side // 6)
    border = F.max_pool2d(edges(truth)[None].float(), 2 * reach + 1, stride=1, padding=reach)
    differ = ((before != after) & (truth != VOID)).float()
    amount = F.avg_pool2d(border * (differ + 1e-3), side, stride=1)
    top, left = divmod(int(amount.argmax()), amount.shape[-1])
    return top, left, side
