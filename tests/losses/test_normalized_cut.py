"""The normalized cut against sums over all pairs, and two halves whose cut is known."""

import pytest
import torch

from crfrnn import appearance_kernel, smoothness_kernel
from crfrnn.losses import normalized_cut_loss
from tests.losses.dense import KERNELS, dense_matrix, problem
from tests.losses.test_dense_crf import lattice_matrix, two_colors


def cut(probabilities: torch.Tensor, mask: torch.Tensor, matrix: torch.Tensor) -> torch.Tensor:
    """sum_k S_k^T W (m - S_k) / S_k^T W m for S within the mask m, from a symmetric W."""
    inside = mask.flatten()
    return sum((label * inside) @ matrix @ (inside - label * inside) / ((label * inside) @ matrix @ inside)
               for label in probabilities.flatten(1))  # fmt: skip


def test_is_the_sum_over_all_pairs() -> None:
    probabilities, image, depth, mask = problem()
    found = normalized_cut_loss(probabilities, image, KERNELS, mask, features={"depth": depth}, filter="exact")
    sums = [
        cut(p, m, dense_matrix(KERNELS, i, d, "none"))
        for p, m, i, d in zip(probabilities, mask, image, depth, strict=True)
    ]
    torch.testing.assert_close(found, sum(sums) / 2, rtol=1e-12, atol=0)


def test_an_image_outside_of_the_mask_adds_nothing() -> None:
    """As with the other losses; the mean is still over both images."""
    probabilities, image, depth, mask = problem()
    mask[1] = 0
    found = normalized_cut_loss(probabilities, image, KERNELS, mask, features={"depth": depth}, filter="exact")
    wanted = cut(probabilities[0], mask[0], dense_matrix(KERNELS, image[0], depth[0], "none")) / 2
    torch.testing.assert_close(found, wanted, rtol=1e-12, atol=0)


def test_on_the_lattice_the_matrix_is_made_symmetric() -> None:
    probabilities, image, _, mask = problem(batch=1, height=6, width=7)
    matrix = lattice_matrix(image[0], 2.0, 40.0)
    assert (matrix - matrix.T).abs().max() > 1e-3
    found = normalized_cut_loss(probabilities, image, [appearance_kernel(2.0, 40.0, 1.0)], mask)
    torch.testing.assert_close(found, cut(probabilities[0], mask[0], (matrix + matrix.T) / 2), rtol=1e-10, atol=0)


def test_gradients() -> None:
    probabilities, image, depth, mask = problem(batch=2, height=3, width=4)
    bandwidths = [torch.tensor(kernel.bandwidths, dtype=torch.float64, requires_grad=True) for kernel in KERNELS]

    def loss(scores, image, depth, *bandwidths):  # type: ignore[no-untyped-def]
        return normalized_cut_loss(
            scores.softmax(1), image, KERNELS, mask, features={"depth": depth}, bandwidths=bandwidths, filter="exact"
        )

    guides = (probabilities.log().requires_grad_(), image.requires_grad_(), depth.requires_grad_())
    assert torch.autograd.gradcheck(loss, (*guides, *bandwidths), fast_mode=True)


def test_labels_may_change_places_and_images_batches_and_masked_pixels_have_no_gradient() -> None:
    probabilities, image, _, _ = problem(batch=3, labels=4, height=6, width=7)
    mask = torch.rand(3, 6, 7) < 0.6
    kernels = [appearance_kernel(3.0, 80.0, 1.3), smoothness_kernel(1.5, 0.7)]
    probabilities.requires_grad_()
    loss = normalized_cut_loss(probabilities, image, kernels, mask)
    (gradient,) = torch.autograd.grad(loss, probabilities)
    assert not gradient[(~mask)[:, None].expand_as(gradient)].any()
    assert gradient.any()
    torch.testing.assert_close(normalized_cut_loss(probabilities[:, [2, 0, 3, 1]], image, kernels, mask), loss)
    singles = [
        normalized_cut_loss(p[None], i[None], kernels, m[None])
        for p, i, m in zip(probabilities, image, mask, strict=True)
    ]
    torch.testing.assert_close(sum(singles) / 3, loss)


@pytest.mark.parametrize("filter", ["lattice", "exact"])
def test_the_cut_between_two_colors_costs_nothing_and_no_cut_costs_a_label(filter: str) -> None:
    image, truth = two_colors()
    kernels = [appearance_kernel(20.0, 10.0, 1.0)]
    halves = torch.nn.functional.one_hot(truth).permute(2, 0, 1)[None].float()
    assert normalized_cut_loss(halves, image, kernels, filter=filter).abs() < 1e-5
    whole = torch.zeros(1, 2, 8, 10)
    whole[:, 0] = 1
    whole.requires_grad_()
    loss = normalized_cut_loss(whole, image, kernels, filter=filter)
    torch.testing.assert_close(loss, torch.tensor(1.0))
    loss.backward()
    assert whole.grad.isfinite().all()
    scores = (0.1 * torch.randn(1, 2, 8, 10)).requires_grad_()
    optimizer = torch.optim.Adam([scores], 0.5)
    for _ in range(40):
        optimizer.zero_grad()
        normalized_cut_loss(scores.softmax(1), image, kernels, filter=filter).backward()
        optimizer.step()
    found = scores.argmax(1)[0]
    assert torch.equal(found, truth) or torch.equal(1 - found, truth)


def test_a_negative_weight_is_refused() -> None:
    probabilities, image, _, _ = problem()
    with pytest.raises(ValueError, match="negative weight"):
        normalized_cut_loss(probabilities, image, [smoothness_kernel(1.0, -1.0)])
