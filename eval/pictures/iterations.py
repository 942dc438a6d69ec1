"""Mean field on one image, iteration by iteration: maps of some labels, and numbers that show how it converges."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from crfrnn import CRFRNN, MeanFieldState
from crfrnn.data import VOID
from crfrnn.nets import GuidedCRF
from eval.scoring.metrics import check_classes, image_mean_iou, most_likely


@dataclass(frozen=True, eq=False)
class Iterations:
    """The iterations of mean field on one image. Every list has T + 1 entries; the first is of the network alone.

    Attributes:
        labels: the names of the K labels whose maps are kept.
        scores: the logits of these labels, float [K, H, W] on the CPU.
        beliefs: the beliefs in these labels: softmax over all labels, not only these.
        largest_change: the largest change of any belief in an iteration; NaN for the network alone.
        mean_change: the share of belief that moved between labels, as a mean over pixels; NaN for the network alone.
        free_energy: per pixel; `crfrnn.free_energy` says when it must fall.
        mean_iou: in percent, over the classes of the truth; empty without a truth, or where all of it is void.
    """

    labels: tuple[str, ...]
    scores: list[Tensor] = field(default_factory=list)
    beliefs: list[Tensor] = field(default_factory=list)
    largest_change: list[float] = field(default_factory=list)
    mean_change: list[float] = field(default_factory=list)
    free_energy: list[float] = field(default_factory=list)
    mean_iou: list[float] = field(default_factory=list)


@torch.no_grad()
def watch(
    crf: CRFRNN | GuidedCRF,
    unary: Tensor,
    image: Tensor,
    classes: Sequence[str],
    labels: Sequence[str],
    num_iterations: int,
    truth: Tensor | None = None,
) -> Iterations:
    """Run `crf` for `num_iterations` and keep maps and numbers of every iteration.

    Args:
        crf: over the labels named by `classes`, on the device of `unary` and `image`.
        unary: logits [1, L, H, W].
        image: RGB [1, 3, H, W] in 0..255.
        classes: names of the labels.
        labels: the names of those whose maps to keep.
        num_iterations: T, 0 or more.
        truth: labels [H, W], 255 for void; needed for the mean IoU alone.

    Raises as `crf`, and ValueError for a label that is not among `classes` or a truth of another size.
    """
    indices = [list(classes).index(name) for name in check_classes(labels, classes)]
    seen = Iterations(tuple(labels))
    for state in crf.iterate(unary, image, num_iterations):
        seen.scores.append(state.logits[0, indices].cpu())
        seen.beliefs.append(state.beliefs[0, indices].cpu())
        seen.largest_change.append(math.nan if state.previous is None else float(state.residual()[0]))
        seen.mean_change.append(_mean_change(state))
        seen.free_energy.append(float(state.free_energy()[0]) / state.beliefs[0, 0].numel())
        if truth is not None and bool((truth != VOID).any()):
            seen.mean_iou.append(image_mean_iou(most_likely(state.logits), truth, classes))
    return seen


def _mean_change(state: MeanFieldState) -> float:
    if state.previous is None:
        return math.nan
    return float((state.beliefs - state.previous).abs().sum(1).mean()) / 2


def largest_labels(truth: Tensor, classes: Sequence[str], count: int) -> list[str]:
    """The `count` classes that cover the most pixels of `truth` [H, W]."""
    pixels = torch.bincount(truth[truth != VOID].flatten().long(), minlength=len(classes))
    order = pixels.argsort(descending=True, stable=True)[:count]
    return [classes[i] for i in order if pixels[i]]
