"""How sure a difference of mean IoU is: intervals over images, which are drawn again and again, and over seeds.

The mean IoU of a set is no mean over its images: each draw of images adds up their pixels first. Both systems are scored on
the same draws, so that images that are hard for both move no difference. The mean is over the classes that the truth of the
drawn images holds; it is the same truth, so the same classes, for both.
"""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from eval.scoring.counts import Areas

RESAMPLES, SEED = 1000, 0
TAILS = (0.025, 0.975)
"""of the draws that an interval of 95 % leaves out at both ends"""
STUDENT = (
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131,
    2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
)  # fmt: skip
"""Student's t at 97.5 %, for 1 to 30 degrees of freedom"""
Interval = tuple[float, float]


@dataclass(frozen=True)
class Difference:
    """The mean IoU of one system less that of another, in points.

    Attributes:
        points: of the means over the runs of each.
        images: interval of 95 % over draws of images; None where fewer than two images count.
        seeds: interval of 95 % over runs, by Student's t; None where both systems have a single run.
        deviation: standard deviation over seeds of the difference of paired runs; None where runs are not paired.
    """

    points: float
    images: Interval | None
    seeds: Interval | None = None
    deviation: float | None = None

    @property
    def sure(self) -> bool:
        """Whether there is an interval over images, and no interval holds 0: only then is there a gain or a loss."""
        return self.images is not None and all(
            low > 0 or high < 0 for low, high in (self.images, self.seeds or self.images)
        )


def mean_iou(areas: Areas, classes: Sequence[str] | None = None) -> float | None:
    """Mean IoU in percent over those of `classes` (None: all) that the truth holds; None where it holds none.

    Raises ValueError where there is no such class.
    """
    value = float(_mean_iou(areas, np.ones((1, len(areas.images))), _labels(areas, classes))[0])
    return None if np.isnan(value) else value


def paired_difference(
    system: Sequence[Areas],
    reference: Sequence[Areas],
    classes: Sequence[str] | None = None,
    resamples: int = RESAMPLES,
    seed: int = SEED,
) -> Difference | None:
    """The difference of mean IoU between two systems that labeled the same images; None where none of `classes` occurs.

    Args:
        system: one for each of its runs, such as those of several seeds.
        reference: the same for the system that it is compared with. Where both have as many runs, they are paired in
            their order.
        classes: the mean is over these; None for all.
        resamples: draws of as many images as there are, with replacement, the same ones for all runs.
        seed: of the draws.

    Raises ValueError where a system has no run, or where images, classes or truth differ.
    """
    if not system or not reference:
        raise ValueError("a system has no runs; wanted one or more of each")
    ours, theirs = ([aligned(areas, reference[0]) for areas in runs] for runs in (system, reference))
    labels = _labels(reference[0], classes)
    whole = np.ones((1, len(reference[0].images)))
    values = [[float(_mean_iou(areas, whole, labels)[0]) for areas in runs] for runs in (ours, theirs)]
    points = statistics.fmean(values[0]) - statistics.fmean(values[1])
    if np.isnan(points):
        return None
    seeds, deviation = over_seeds(*values)
    if np.count_nonzero(reference[0].truths[:, labels].sum(1)) < 2:
        return Difference(points, None, seeds, deviation)
    draws = _draws(whole.shape[1], resamples, seed)
    drawn = [np.mean([_mean_iou(areas, draws, labels) for areas in runs], 0) for runs in (ours, theirs)]
    low, high = np.nanquantile(drawn[0] - drawn[1], TAILS).tolist()
    return Difference(points, (low, high), seeds, deviation)


def over_seeds(system: Sequence[float], reference: Sequence[float]) -> tuple[Interval | None, float | None]:
    """Interval of 95 % of the difference of two means over runs, and the standard deviation of paired differences.

    As many runs of both are paired in their order. Others are taken as independent (Welch). A single run beside several says
    nothing of its own variance, and is taken to vary as they do.
    """
    runs = (len(system), len(reference))
    if max(runs) == 1:
        return None, None
    middle = statistics.fmean(system) - statistics.fmean(reference)
    deviation = None
    if runs[0] == runs[1]:
        deviation = statistics.stdev([a - b for a, b in zip(system, reference, strict=True)])
        reach = _student(runs[0] - 1) * deviation / runs[0] ** 0.5
    elif min(runs) == 1:
        several = max(system, reference, key=len)
        reach = _student(len(several) - 1) * statistics.stdev(several) * (1 + 1 / len(several)) ** 0.5
    else:
        parts = [statistics.variance(values) / len(values) for values in (system, reference)]
        total = sum(parts)
        freedom = total**2 / sum(part**2 / (n - 1) for part, n in zip(parts, runs, strict=True)) if total else 1
        reach = _student(int(freedom)) * total**0.5
    return (middle - reach, middle + reach), deviation


def _student(freedom: int) -> float:
    return STUDENT[min(max(freedom, 1), len(STUDENT)) - 1]


def aligned(areas: Areas, wanted: Areas) -> Areas:
    """`areas` with the images in the order of `wanted`. Raises ValueError where images, classes or truth differ."""
    if areas.classes != wanted.classes:
        raise ValueError(
            f"the classes differ: {', '.join(areas.classes)} against {', '.join(wanted.classes)}; wanted one set of labels"
        )
    if areas.images != wanted.images:
        ours, theirs = set(areas.images), set(wanted.images)
        for only, who in ((ours - theirs, "the reference"), (theirs - ours, "the system")):
            if only:
                raise ValueError(
                    f"the images differ: {who} lacks {len(only)}, such as {min(only)!r}; wanted scores of the same images, "
                    "so score both on one list"
                )
        order = [areas.images.index(name) for name in wanted.images]
        areas = Areas(wanted.images, areas.classes, *(each[order] for each in (areas.hits, areas.unions, areas.truths)))
    different = (areas.truths != wanted.truths).any(1)
    if different.any():
        name = wanted.images[int(different.argmax())]
        raise ValueError(
            f"the truth differs in {int(different.sum())} of {len(different)} images, as in {name!r}; wanted scores against "
            "the same masks"
        )
    return areas


def _labels(areas: Areas, classes: Sequence[str] | None) -> list[int]:
    from eval.scoring.metrics import check_classes

    names = areas.classes if classes is None else check_classes(classes, areas.classes)
    return sorted({areas.classes.index(name) for name in names})


def _mean_iou(areas: Areas, draws: np.ndarray, labels: Sequence[int]) -> np.ndarray:
    """Mean IoU [R] in percent under R draws, each how often every image counts; NaN where no label is in the truth."""
    hits, unions, truths = (draws @ each[:, labels] for each in (areas.hits, areas.unions, areas.truths))
    present = truths > 0
    iou = np.divide(hits, unions, out=np.zeros_like(hits), where=present)
    count = present.sum(1)
    return 100 * np.divide(iou.sum(1), count, out=np.full(len(draws), np.nan), where=count > 0)


@lru_cache(maxsize=4)
def _draws(images: int, resamples: int, seed: int) -> np.ndarray:
    """How often every image is in each draw, float64 [resamples, images]."""
    shares = np.full(images, 1 / images)
    return np.random.default_rng(seed).multinomial(images, shares, size=resamples).astype(np.float64)
