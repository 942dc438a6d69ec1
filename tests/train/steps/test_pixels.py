"""The loss of labeled pixels against its equation written with loops."""

import math

import pytest
import torch

from crfrnn.losses import lovasz_softmax_loss, soft_jaccard_loss
from train.recipes import Loss
from train.steps.pixels import pixel_loss


def problem() -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    logits, labels = torch.randn(2, 3, 4, 5, dtype=torch.float64), torch.randint(3, (2, 4, 5))
    labels[0, 1] = labels[1, :3] = 255
    return logits, labels


def test_cross_entropy_at_a_temperature() -> None:
    logits, labels = problem()
    found = pixel_loss(logits, labels, Loss(cross_entropy=0.5), torch.tensor(2.0))
    wanted = 0.0
    for b in range(2):
        for i in range(4):
            for j in range(5):
                if labels[b, i, j] != 255:
                    scores = [math.exp(float(x) / 2) for x in logits[b, :, i, j]]
                    wanted -= 0.5 * math.log(scores[labels[b, i, j]] / sum(scores))
    assert float(found) == pytest.approx(wanted)


def test_overlap_counts_once_for_each_pixel_and_knows_no_temperature() -> None:
    logits, labels = problem()
    loss = Loss(cross_entropy=0, jaccard=2.0, lovasz=3.0)
    found = pixel_loss(logits, labels, loss, torch.tensor(2.0))
    wanted = 0.0
    for own, truth, count in zip(logits.softmax(1).split(1), labels.split(1), (15, 5), strict=True):
        wanted += count * float(2 * soft_jaccard_loss(own, truth) + 3 * lovasz_softmax_loss(own, truth))
    assert float(found) == pytest.approx(wanted)


def test_a_temperature_has_the_gradient_of_finite_differences() -> None:
    logits, labels = problem()
    temperature = torch.tensor(1.7, dtype=torch.float64, requires_grad=True)
    loss = Loss(jaccard=1.0)
    assert torch.autograd.gradcheck(lambda t: pixel_loss(logits, labels, loss, t), temperature)
