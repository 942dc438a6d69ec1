"""Impossible labels get no belief and no gradient; the others are as if there were no such labels."""

import pytest
import torch

from crfrnn import CRFRNN, appearance_kernel, smoothness_kernel
from crfrnn.nets import restrict

ALLOWED = torch.tensor([[True, True, False, True], [True, False, True, False]])


def test_softmax_is_over_the_possible_labels_alone() -> None:
    unary = torch.randn(2, 4, 3, 5)
    beliefs = restrict(unary, ALLOWED).softmax(1)
    for image, possible in zip((0, 1), ([0, 1, 3], [0, 2]), strict=True):
        assert torch.equal(beliefs[image, possible], unary[image, possible].softmax(0))
        assert beliefs[image].sum(0).allclose(torch.ones(3, 5))
    assert torch.equal(restrict(unary, ALLOWED[0]), restrict(unary, ALLOWED[:1].expand(2, 4)))
    assert restrict(unary, None) is unary


def test_a_crf_behind_it_is_one_over_the_possible_labels() -> None:
    kernels = [smoothness_kernel(2, 3), appearance_kernel(5, 20, 5)]
    penalties = torch.rand(4, 4)
    unary, image = torch.randn(1, 4, 6, 7), 255 * torch.rand(1, 3, 6, 7)
    whole = CRFRNN(4, kernels, compatibility=penalties)(restrict(unary, ALLOWED[:1]), image)
    few = torch.tensor([0, 1, 3])
    alone = CRFRNN(3, kernels, compatibility=penalties[few][:, few])(unary[:, few], image)
    assert torch.allclose(whole.softmax(1)[:, few], alone.softmax(1), atol=1e-5)
    assert not whole.softmax(1)[:, 2].any()


def test_impossible_labels_learn_nothing() -> None:
    unary = torch.randn(2, 4, 3, 5, requires_grad=True)
    torch.nn.functional.cross_entropy(restrict(unary, ALLOWED), torch.zeros(2, 3, 5, dtype=torch.int64)).backward()
    assert torch.equal(unary.grad.abs().sum((2, 3)) > 0, ALLOWED)


def test_other_numbers_of_labels_are_refused() -> None:
    with pytest.raises(ValueError, match="allowed has 4 labels, the scores have 5"):
        restrict(torch.zeros(1, 5, 2, 2), ALLOWED)
