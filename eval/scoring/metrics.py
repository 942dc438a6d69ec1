"""Scores of a labeling over a whole set, by the rules of PASCAL VOC. All scores are in percent.

One confusion matrix is summed over all images. The mean of the scores of single images is another number and cannot be
compared with published ones. Pixels whose truth is void (255) count nowhere.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

import crfrnn._torchvision  # noqa: F401  makes torchvision, which torchmetrics imports, load with a CPU build of torch
from crfrnn.data import VOID

# isort: split
from torchmetrics.classification import MulticlassConfusionMatrix


@dataclass(frozen=True)
class Scores:
    """Scores over a set, in percent.

    Attributes:
        iou: intersection over union of every class, true positives / (true positives + false positives + false
            negatives). NaN marks a class that is neither in the truth nor predicted; one that is only predicted has 0.
        pixel_accuracy: share of the pixels that have the right label ("Global").
        class_accuracy: the same share for each class of the truth, averaged over these classes ("Average").
        weighted_iou: mean of the IoU, each class weighted by its share of the true pixels (frequency-weighted IoU).
    """

    iou: dict[str, float]
    pixel_accuracy: float
    class_accuracy: float
    weighted_iou: float

    @property
    def present(self) -> list[str]:
        """The classes that truth or prediction hold: those that the mean is over."""
        return [name for name, value in self.iou.items() if not math.isnan(value)]

    @property
    def mean_iou(self) -> float:
        """Mean IoU over the present classes."""
        return self.mean_over(self.iou)

    def mean_over(self, classes: Iterable[str]) -> float:
        """Mean IoU over those of `classes` that are present; NaN where none is.

        Raises ValueError where there is no such class.
        """
        classes = check_classes(classes, self.iou)
        values = [self.iou[name] for name in self.present if name in classes]
        return sum(values) / len(values) if values else math.nan


class Confusion:
    """The confusion matrix of a labeling, summed over the images of a set.

    Args:
        classes: the names of the labels 0, 1, ...
    """

    def __init__(self, classes: Sequence[str]) -> None:
        self.classes = tuple(classes)
        # The metric's own checks sort every label map again, and report a wrong label as a wrong number of classes.
        self._metric = MulticlassConfusionMatrix(len(self.classes), ignore_index=VOID, validate_args=False)

    @property
    def counts(self) -> Tensor:
        """Pixels, int64 [L, L]: row = true label, column = predicted label."""
        return self._metric.confmat.clone()

    def update(self, prediction: Tensor, truth: Tensor) -> None:
        """Add one image: labels [H, W] each, integers; 255 is void, in the truth only.

        Raises:
            TypeError: labels that are no integers.
            ValueError: different sizes, a label beyond the classes, or void in the prediction.
        """
        if prediction.shape != truth.shape or truth.ndim != 2:
            raise ValueError(
                f"got a prediction of shape {list(prediction.shape)} for a truth of shape {list(truth.shape)}; wanted "
                "[H, W] of equal size: bring logits to the size of the image before taking the argmax"
            )
        prediction, truth = prediction.cpu(), truth.cpu()
        self._check_labels("prediction", prediction)
        self._check_labels("truth", truth[truth != VOID])
        self._metric.update(prediction, truth)

    def add_logits(self, logits: Tensor, truth: Tensor) -> None:
        """Add one image: logits [1, L, H, W], of which the largest of a pixel is its label, and truth [H, W].

        Raises as `update`.
        """
        self.update(most_likely(logits), truth)

    def add(self, counts: Tensor) -> None:
        """Add `counts` [L, L] of images that were counted before."""
        self._metric.confmat += counts

    def merge(self) -> None:
        """Add up the counts of all processes of a distributed run; each of them then has the sum."""
        torch.distributed.all_reduce(self._metric.confmat)

    def scores(self) -> Scores:
        """The scores of what has been added so far. Raises ValueError where that is not a single pixel."""
        return scores_of(self.counts, self.classes)

    def _check_labels(self, what: str, labels: Tensor) -> None:
        if labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool:
            raise TypeError(f"the {what} is {labels.dtype}; wanted integer labels: take the argmax of scores first")
        wrong = labels[(labels < 0) | (labels >= len(self.classes))]
        if wrong.numel():
            hint = f"; {VOID} is void, and only the truth may hold it" if wrong[0] == VOID else ""
            raise ValueError(
                f"the {what} holds the label {int(wrong[0])} ({wrong.numel()} pixels outside the classes); "
                f"wanted 0..{len(self.classes) - 1}{hint}"
            )


def most_likely(logits: Tensor) -> Tensor:
    """The label with the largest logit of every pixel: logits [1, L, H, W] to uint8 [H, W] on the CPU."""
    return logits[0].argmax(0).to("cpu", torch.uint8)


def scores_of(counts: Tensor, classes: Sequence[str]) -> Scores:
    """The scores of pixels counted by [true label, predicted label]. Raises ValueError where there is not a single one."""
    counts = counts.double()
    if not counts.sum():
        raise ValueError("there is nothing to score: no image was added, or every pixel of the truth is void")
    right, true, predicted = counts.diag(), counts.sum(1), counts.sum(0)
    iou = 100 * right / (true + predicted - right)  # 0 / 0, the absent classes, is NaN
    return Scores(
        iou=dict(zip(classes, iou.tolist(), strict=True)),
        pixel_accuracy=float(100 * right.sum() / counts.sum()),
        class_accuracy=float((100 * right / true).nanmean()),
        weighted_iou=float((true * iou).nansum() / true.sum()),
    )


def comparable_scores(counts: Tensor, classes: Sequence[str]) -> Scores:
    """`scores_of`, with classes that are predicted but never true counted as absent.

    This compares labelings of the same few images: the mean is over the same classes for all of them. Otherwise one false
    pixel of another class would add an IoU of 0 to the mean. Raises as `scores_of`.
    """
    scores = scores_of(counts, classes)
    true = dict(zip(classes, counts.sum(1).tolist(), strict=True))
    return replace(scores, iou={name: value if true[name] else math.nan for name, value in scores.iou.items()})


def image_mean_iou(prediction: Tensor, truth: Tensor, classes: Sequence[str]) -> float:
    """Mean IoU of one labeling [H, W] over the classes that its truth holds, in percent.

    This is for watching single images. A false speck of another class lowers the IoU of the true class there, but does not
    enter the mean as a class of IoU 0, which would outweigh everything else in the image. Raises as `Confusion`.
    """
    confusion = Confusion(classes)
    confusion.update(prediction, truth)
    return comparable_scores(confusion.counts, classes).mean_iou


def check_classes(names: Iterable[str], known: Iterable[str]) -> list[str]:
    """`names` as a list. Raises ValueError, saying which classes there are, where one of them is not in `known`."""
    names, known = list(names), list(known)
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ValueError(f"there is no class {', '.join(map(repr, unknown))}; the classes are {', '.join(known)}")
    return names
