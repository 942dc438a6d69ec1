"""The loss against a pixel loop over probabilities, and what a frozen network does."""

import math

import pytest
import torch

from crfrnn import CRFRNN, smoothness_kernel
from crfrnn.nets import build_model
from train.loss import StageLoss, counted


def by_hand(probabilities: torch.Tensor, labels: torch.Tensor, stride: int) -> tuple[float, int]:
    total, count = 0.0, 0
    for i in range(0, labels.shape[1], stride):
        for j in range(0, labels.shape[2], stride):
            if labels[0, i, j] != 255:
                total -= math.log(probabilities[0, labels[0, i, j], i, j])
                count += 1
    return total, count


@pytest.mark.parametrize(("stride", "crf"), [(8, False), (1, False), (4, True), (8, True)])
def test_sum_of_the_cross_entropy_over_what_is_not_void(stride: int, crf: bool) -> None:
    layer = CRFRNN(3, [smoothness_kernel(1.0, 0.5)], 2) if crf else None
    model = build_model(num_labels=3, width=0.02, dropout=0.0, crf=layer)
    loss = StageLoss(model, stride).train()
    image = 255 * torch.rand(1, 3, 17, 25)
    labels = torch.randint(3, (1, 17, 25))
    labels[0, 8] = 255
    expected, count = by_hand(model(image).softmax(1).detach(), labels, stride)
    assert counted(labels, stride) == count
    assert float(loss(image, labels).detach()) == pytest.approx(expected, rel=1e-4)


def test_a_frozen_network_runs_as_at_test_time() -> None:
    model = build_model(num_labels=3, width=0.02, dropout=0.9, crf=CRFRNN(3, [smoothness_kernel(1.0, 1.0)], 1))
    model.network.requires_grad_(False)
    loss = StageLoss(model, 1).train()
    assert not model.network.training
    assert model.crf.training
    image, labels = 255 * torch.rand(1, 3, 17, 17), torch.randint(3, (1, 17, 17))
    first, second = loss(image, labels), loss(image, labels)
    assert first == second  # no dropout
    first.backward()
    assert model.crf.cell.compatibility.grad.abs().sum() > 0
    assert all(parameter.grad is None for parameter in model.network.parameters())
