"""The windowed loss against a sum over pairs of pixels, and the formula of the released Gated CRF loss."""

import itertools

import pytest
import torch
from torch import Tensor

from crfrnn import appearance_kernel, feature_kernel, grid_kernel, smoothness_kernel
from crfrnn.losses import windowed_crf_loss
from tests.losses.dense import dense_matrix, problem

KERNELS = [appearance_kernel(6.0, 60.0, 0.9), smoothness_kernel(6.0, 0.1), feature_kernel("depth", 0.8, 0.5)]


def in_window(height: int, width: int, radius: int) -> Tensor:
    """Which pairs of pixels [N, N] are in each other's window, without those of a pixel with itself."""
    pixels = list(itertools.product(range(height), range(width)))
    return torch.tensor(
        [[p != q and abs(p[0] - q[0]) <= radius and abs(p[1] - q[1]) <= radius for q in pixels] for p in pixels]
    )


def dense(probabilities: Tensor, image: Tensor, depth: Tensor, mask: Tensor, source: Tensor, radius: int) -> Tensor:
    """sum_ij g_i h_j w_ij (1 - S_i . S_j) of one image, from matrices over all pairs."""
    near = in_window(*image.shape[1:], radius)
    beliefs = probabilities.flatten(1)
    total = image.new_zeros(())
    for kernel in KERNELS:
        if kernel.theta_position is None:
            rows = depth.flatten(1).T / kernel.theta_guide
            matrix = kernel.weight * torch.exp(-0.5 * (rows[:, None] - rows[None]).square().sum(-1))
        else:
            matrix = dense_matrix([kernel], image, depth, "none")
        pairs = torch.outer(mask.flatten(), source.flatten()) * matrix * near
        total = total + (pairs * (1 - beliefs.T @ beliefs)).sum()
    return total


@pytest.mark.parametrize("radius", [1, 2, 5, 50])
@pytest.mark.parametrize(("height", "width"), [(5, 6), (1, 7), (1, 1)])
def test_is_the_sum_over_pairs_in_the_window(radius: int, height: int, width: int) -> None:
    probabilities, image, depth, _ = problem(height=height, width=width)
    mask, source = torch.rand(2, height, width).double(), torch.rand(2, height, width) < 0.7
    found = windowed_crf_loss(probabilities, image, KERNELS, mask, radius, source=source, features={"depth": depth})
    sums = [dense(*each, radius) for each in zip(probabilities, image, depth, mask, source.double(), strict=True)]
    torch.testing.assert_close(found, sum(sums) / mask.sum(), rtol=1e-10, atol=1e-14)


def test_is_the_released_one() -> None:
    """Its kernels are unfolded around every pixel, 0 at the pixel; gates are unfolded, too, so that padding is closed."""
    probabilities, image, _, _ = problem(height=6, width=7)
    source, destination = torch.rand(2, 6, 7) < 0.7, torch.rand(2, 6, 7) < 0.5
    radius, side = 2, 5
    unfold = torch.nn.functional.unfold
    y, x = torch.meshgrid(torch.arange(6.0).double(), torch.arange(7.0).double(), indexing="ij")
    xy = torch.stack([x, y]).expand(2, 2, 6, 7)
    kernels = torch.zeros(2, side * side, 42, dtype=torch.float64)
    for weight, features in ((0.9, torch.cat([xy / 6, image / 60], 1)), (0.1, xy / 6)):
        around = unfold(features, side, 1, radius).reshape(2, -1, side * side, 42)
        kernel = (-0.5 * (around - features.flatten(2)[:, :, None]) ** 2).sum(1).exp()
        kernel[:, side * side // 2] = 0
        kernels = kernels + weight * kernel
    kernels = kernels * unfold(source[:, None].double(), side, 1, radius) * destination.double().flatten(1)[:, None]
    around = unfold(probabilities, side, 1, radius).reshape(2, 3, side * side, 42)
    agreement = ((kernels[:, None] * around).sum(2) * probabilities.flatten(2)).sum()
    wanted = (kernels.sum() - agreement) / destination.sum()
    found = windowed_crf_loss(probabilities, image, KERNELS[:2], destination, radius, source=source)
    torch.testing.assert_close(found, wanted, rtol=1e-10, atol=0)


def test_gradients_to_scores_guides_and_bandwidths() -> None:
    probabilities, image, depth, mask = problem(batch=1, height=3, width=4)
    bandwidths = [torch.tensor(kernel.bandwidths, dtype=torch.float64, requires_grad=True) for kernel in KERNELS]

    def loss(scores, image, depth, *bandwidths):  # type: ignore[no-untyped-def]
        features = {"depth": depth}
        return windowed_crf_loss(scores.softmax(1), image, KERNELS, mask, 2, features=features, bandwidths=bandwidths)

    guides = (probabilities.log().requires_grad_(), image.requires_grad_(), depth.requires_grad_())
    assert torch.autograd.gradcheck(loss, (*guides, *bandwidths), fast_mode=True)


def test_labels_may_change_places_and_images_batches_and_masked_pixels_have_no_gradient() -> None:
    probabilities, image, _, _ = problem(batch=3, labels=4, height=6, width=7)
    mask = torch.rand(3, 6, 7) < 0.6
    probabilities.requires_grad_()
    loss = windowed_crf_loss(probabilities, image, KERNELS[:2], mask, 2)
    (gradient,) = torch.autograd.grad(loss, probabilities)
    assert not gradient[(~mask)[:, None].expand_as(gradient)].any()
    torch.testing.assert_close(windowed_crf_loss(probabilities[:, [2, 0, 3, 1]], image, KERNELS[:2], mask, 2), loss)
    singles = [
        windowed_crf_loss(p[None], i[None], KERNELS[:2], m[None], 2) * m.sum()
        for p, i, m in zip(probabilities, image, mask, strict=True)
    ]
    torch.testing.assert_close(sum(singles) / mask.sum(), loss)


def test_a_window_over_the_whole_image_is_large_enough() -> None:
    probabilities, image, _, _ = problem(dtype=torch.float32)
    wide = windowed_crf_loss(probabilities, image, KERNELS[:2], radius=1000)
    torch.testing.assert_close(windowed_crf_loss(probabilities, image, KERNELS[:2], radius=5), wide)


GIVEN, IMAGE, _, MASK = problem()


@pytest.mark.parametrize(
    ("error", "words", "arguments"),
    [
        (ValueError, "has no window", {"kernels": [grid_kernel(8, 10.0, 1.0)]}),
        (ValueError, "radius is 0", {"radius": 0}),
        (TypeError, "radius is 1.5", {"radius": 1.5}),
        (ValueError, "source has shape", {"source": MASK[:1]}),
    ],
)
def test_says_what_is_wrong(error: type, words: str, arguments: dict) -> None:
    with pytest.raises(error, match=words):
        windowed_crf_loss(GIVEN, IMAGE, **{"kernels": KERNELS[:2], **arguments})
