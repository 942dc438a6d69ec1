"""The measurement of `eval.bench.whole_set`: every image through every way of labeling it."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
from torch import Tensor
from tqdm import tqdm

from crfrnn import CRFRNN
from crfrnn.data import SegmentationSet
from crfrnn.presets import FixedCRF
from eval.bench.peers import pydensecrf
from eval.bench.tables import PYDENSECRF
from eval.inputs.scores_file import read_arrays, unary_among
from eval.scoring.metrics import Confusion

CRFS = (FixedCRF(4, 49, 5, 3, 3, 10, "symmetric"), FixedCRF(4, 67, 3, 3, 1, 10, "symmetric"))
"""Found by cross-validation on DeepLab's scores; see the README."""

NETWORK, FULL, FEW = "network alone", "CRFRNN", "CRFRNN, min_belief"
LATE, BOTH = "CRFRNN, message_tolerance", "CRFRNN, both"


@dataclass
class Sums:
    """Totals of one way of labeling over the set."""

    confusion: Confusion
    seconds: float = 0.0
    ratios: list[float] = field(default_factory=list)
    """seconds of pydensecrf2 divided by seconds of this way, image by image"""
    equal: list[float] = field(default_factory=list)
    """share of pixels with the label of the reference (FULL for ours with options, else pydensecrf2), image by image"""
    largest: float = 0.0
    """largest difference of a belief from the reference"""

    def compare_with(self, reference: Tensor, beliefs: Tensor) -> None:
        """Add how close the beliefs [1, L, H, W] of one image are to the reference."""
        self.equal.append(float((beliefs.argmax(1) == reference.argmax(1)).float().mean()))
        self.largest = max(self.largest, float((beliefs - reference).abs().max()))


def title(crf: FixedCRF) -> str:
    """The parameters of a CRF on one line."""
    return f"({crf})"


def compare(
    crf: FixedCRF,
    dataset: SegmentationSet,
    unaries: Path,
    min_belief: float,
    message_tolerance: float,
    images: int | None,
) -> dict[str, Sums]:
    """Label all images of `dataset` (or the first `images`) in every way."""
    classes = dataset.classes
    arrays = read_arrays(unaries)
    limits = {FULL: (), FEW: (min_belief,), LATE: (0.0, message_tolerance), BOTH: (min_belief, message_tolerance)}
    ways: dict[str, Callable[[Tensor, Tensor], Tensor]] = {PYDENSECRF: partial(pydensecrf, crf)}
    ways |= {name: partial(labeled, crf.build(len(classes), *options)) for name, options in limits.items()}
    sums = {name: Sums(Confusion(classes)) for name in (NETWORK, *ways)}
    for index in tqdm(range(min(len(dataset), images or len(dataset))), desc=title(crf), unit="image"):
        image, truth, name = dataset[index]
        image = image[None].float()
        unary = unary_among(arrays, unaries, (image.shape[2], image.shape[3]), name)
        sums[NETWORK].confusion.add_logits(unary, truth)
        beliefs, seconds = timed(ways, unary, image)
        for way, found in beliefs.items():
            own = sums[way]
            own.confusion.add_logits(found, truth)
            own.seconds += seconds[way]
            own.ratios.append(seconds[PYDENSECRF] / seconds[way])
            own.compare_with(beliefs[PYDENSECRF if way in (PYDENSECRF, FULL) else FULL], found)
    return sums


def labeled(crf: CRFRNN, unary: Tensor, image: Tensor) -> Tensor:
    """Beliefs of a layer."""
    return crf(unary, image).softmax(1)


def timed(
    ways: dict[str, Callable[[Tensor, Tensor], Tensor]], unary: Tensor, image: Tensor
) -> tuple[dict[str, Tensor], dict[str, float]]:
    """Beliefs of every way for one image, and the seconds they took."""
    beliefs, seconds = {}, {}
    for way, function in ways.items():
        began = time.perf_counter()
        beliefs[way] = function(unary, image)
        seconds[way] = time.perf_counter() - began
    return beliefs, seconds


def facts(sums: dict[str, Sums]) -> dict[str, dict[str, float]]:
    """The figures of every way."""
    rows = {}
    for name, own in sums.items():
        row = {"mean IoU": own.confusion.scores().mean_iou}
        if own.ratios:
            row |= {
                "seconds per image": own.seconds / len(own.ratios),
                "mean ratio": float(np.mean(own.ratios)),
                "equal labels": float(np.mean(own.equal)),
                "least equal labels": min(own.equal),
                "largest difference of beliefs": own.largest,
            }
        rows[name] = row
    return rows
