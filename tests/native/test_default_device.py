"""Compiled code computes on the CPU where another device is torch's default, as in many notebooks on a GPU."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from crfrnn import CRFRNN, appearance_kernel, smoothness_kernel
from crfrnn.densecrf import DenseCRF2D, utils

KERNELS = (smoothness_kernel(3), appearance_kernel(20, 13))


def trained(crf: CRFRNN, unary: Tensor, image: Tensor) -> list[Tensor]:
    leaf = unary.clone().requires_grad_()
    logits = crf(leaf, image)
    return [
        logits.detach(),
        *torch.autograd.grad(logits.tanh().sum(), [leaf, *(each for each in crf.parameters() if each.requires_grad)]),
    ]


def inferred(crf: CRFRNN, unary: Tensor, image: Tensor) -> list[Tensor]:
    with torch.no_grad():
        return [crf(unary, image)]


@pytest.mark.parametrize(
    ("options", "run"),
    [
        ({"learn_bandwidths": True}, trained),
        ({"learn_filter": True}, trained),
        ({}, inferred),
        ({"message_tolerance": 0.01}, inferred),
        ({"min_belief": 0.05}, inferred),
        ({"exclude_self": True}, inferred),
        ({"filter": "exact"}, inferred),
    ],
)
def test_a_layer(options: dict[str, object], run: Callable[[CRFRNN, Tensor, Tensor], list[Tensor]]) -> None:
    unary, image = torch.randn(2, 4, 9, 11, device="cpu"), 255 * torch.rand(2, 3, 9, 11, device="cpu")
    with torch.device("cpu"):
        crf = CRFRNN(4, KERNELS, 3, **options)
        wanted = run(crf, unary, image)
    with torch.device("meta"):
        got = run(crf, unary, image)
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(got, wanted, strict=True))


def test_the_interface_of_pydensecrf() -> None:
    random = np.random.default_rng(0)
    image, mask = random.integers(0, 256, (9, 11, 3), np.uint8), random.random((9, 11)) > 0.5

    def run() -> list[np.ndarray]:
        crf = DenseCRF2D(11, 9, 2)
        crf.setUnaryEnergy(utils.unary_from_labels(mask.astype(int), 2, 0.7, zero_unsure=False))
        crf.addPairwiseGaussian(3, 3)
        crf.addPairwiseEnergy(utils.create_pairwise_bilateral((20, 20), (13, 13, 13), image, chdim=2), 10)
        crf.addPairwiseEnergy(utils.create_pairwise_gaussian((2, 2), (9, 11)), 1)
        return [np.array(crf.inference(5)), np.array(crf.inference(5, message_tolerance=0.01))]

    with torch.device("cpu"):
        wanted = run()
    with torch.device("meta"):
        got = run()
    for ours, theirs in zip(got, wanted, strict=True):
        np.testing.assert_array_equal(ours, theirs)
