"""Losses of overlap: what mean IoU measures, beside or instead of cross-entropy."""

from __future__ import annotations

from collections.abc import Callable

import torch
from einops import rearrange
from torch import Tensor

from crfrnn.losses.inputs import VOID, checked_labels, checked_probabilities


def soft_jaccard_loss(probabilities: Tensor, labels: Tensor, void: int = VOID) -> Tensor:
    """1 - I / U, the mean over the labels that an image holds, then over the images. A number in 0..1.

    I = sum_i y_i p_i and U = sum_i (y_i + p_i - y_i p_i) over the pixels i that are not void, p_i being the probability of
    the label and y_i 1 where it is the true one (Rahman & Wang 2016, eq. 3-5).

    Args:
        probabilities: [B, L, *space], the softmax of logits.
        labels: integers [B, *space], `void` where the label is unknown.

    An image without any label adds 0. Raises TypeError or ValueError for arguments that make no sense.
    """
    return _mean_over_images(probabilities, labels, void, _one_minus_jaccard)


def lovasz_softmax_loss(probabilities: Tensor, labels: Tensor, void: int = VOID) -> Tensor:
    """The Lovasz extension of 1 - IoU in the errors |y_i - p_i| (Berman et al. 2018, eq. 11-12). A number in 0..1.

    It equals 1 - IoU wherever all probabilities are 0 or 1, and is convex in the errors between. Means, arguments and what
    raises are those of `soft_jaccard_loss`.
    """
    return _mean_over_images(probabilities, labels, void, _lovasz)


def _mean_over_images(
    probabilities: Tensor, labels: Tensor, void: int, loss_of_label: Callable[[Tensor, Tensor], Tensor]
) -> Tensor:
    scores = checked_probabilities(probabilities, axes=(1, 2, 3))
    labels = checked_labels(labels, scores, void)
    losses = []
    for image, truth in zip(
        rearrange(scores, "b l ... -> b (...) l"), rearrange(labels, "b ... -> b (...)"), strict=True
    ):
        known = truth != void
        truth, image = truth[known], image[known]
        present = truth.unique().tolist()
        each = [loss_of_label(image[:, label], (truth == label).to(image)) for label in present]
        losses.append(torch.stack(each).mean() if each else image.sum())  # the sum of no pixels
    return torch.stack(losses).mean()


def _one_minus_jaccard(p: Tensor, y: Tensor) -> Tensor:
    """Both [N]; at least one y is 1."""
    shared = (p * y).sum()
    return 1 - shared / (p + y).sum().sub(shared)


def _lovasz(p: Tensor, y: Tensor) -> Tensor:
    """Both [N]; at least one y is 1. The weight of an error is what 1 - IoU rises by when it joins the larger ones."""
    errors, order = (y - p).abs().sort(descending=True)
    y = y[order]
    missed, added = y.cumsum(0), (1 - y).cumsum(0)
    jaccard_loss = 1 - (y.sum() - missed) / (y.sum() + added)
    return (errors * jaccard_loss.diff(prepend=jaccard_loss.new_zeros(1))).sum()
