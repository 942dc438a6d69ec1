"""The dense CRF loss against sums over all pairs, finite differences, and what it promises."""

import pytest
import torch

from crfrnn import appearance_kernel, grid_kernel, smoothness_kernel
from crfrnn.lattice import Lattice
from crfrnn.losses import dense_crf_loss
from tests.dense_meanfield import dense_features
from tests.losses.dense import KERNELS, cut, dense_matrix, problem

NORMALIZATIONS = ["after", "before", "symmetric", "none"]
POSITIONS_AND_COLORS = [smoothness_kernel(1.5, 0.7), appearance_kernel(3.0, 80.0, 1.3)]


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
@pytest.mark.parametrize("kernels", [KERNELS, KERNELS[:1], KERNELS[3:]], ids=["all", "positions", "grid"])
def test_is_the_sum_over_all_pairs(normalization: str, kernels: list) -> None:
    probabilities, image, depth, mask = problem()
    features = {"depth": depth} if kernels is KERNELS else None
    found = dense_crf_loss(probabilities, image, kernels, mask, normalization, features=features, filter="exact")
    sums = [
        cut(p, m, dense_matrix(kernels, i, d, normalization))
        for p, m, i, d in zip(probabilities, mask, image, depth, strict=True)
    ]
    torch.testing.assert_close(found, sum(sums) / mask.sum(), rtol=1e-12, atol=0)


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
def test_gradients_of_the_exact_kernels(normalization: str) -> None:
    """To the scores, the guides and the bandwidths, by finite differences."""
    probabilities, image, depth, mask = problem(batch=1, height=3, width=4)
    scores = probabilities.log().requires_grad_()
    bandwidths = [torch.tensor(kernel.bandwidths, dtype=torch.float64, requires_grad=True) for kernel in KERNELS]
    guides = [image.requires_grad_(), depth.requires_grad_()]

    def loss(scores, image, depth, *bandwidths):  # type: ignore[no-untyped-def]
        return dense_crf_loss(
            scores.softmax(1), image, KERNELS, mask, normalization,
            features={"depth": depth}, bandwidths=bandwidths, filter="exact",
        )  # fmt: skip

    assert torch.autograd.gradcheck(loss, (scores, *guides, *bandwidths), fast_mode=True)


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
def test_gradients_on_the_lattice(normalization: str) -> None:
    """Within the simplices of the lattice, where it is smooth."""
    probabilities, image, _, mask = problem(batch=2, height=3, width=4)
    scores = probabilities.log().requires_grad_()
    bandwidths = [torch.tensor(k.bandwidths, dtype=torch.float64, requires_grad=True) for k in POSITIONS_AND_COLORS]
    with torch.no_grad():  # no pixel on a border of simplices
        bandwidths[0].add_(0.0123)

    def loss(scores, image, *bandwidths):  # type: ignore[no-untyped-def]
        return dense_crf_loss(
            scores.softmax(1), image, POSITIONS_AND_COLORS, mask, normalization, bandwidths=bandwidths
        )

    assert torch.autograd.gradcheck(loss, (scores, image.requires_grad_(), *bandwidths), fast_mode=True)


def lattice_matrix(image: torch.Tensor, theta_alpha: float, theta_beta: float) -> torch.Tensor:
    """The lattice's K [N, N], column by column."""
    lattice = Lattice.build(dense_features(image, theta_alpha, theta_beta)[None])
    return lattice.filter(torch.eye(image[0].numel(), dtype=image.dtype)[None])[0]


def test_on_the_lattice_value_and_gradient_are_those_of_the_symmetric_matrix() -> None:
    """Though its own is not symmetric where vertices are missing, which the first line makes sure of."""
    probabilities, image, _, mask = problem(batch=1, height=6, width=7)
    matrix = lattice_matrix(image[0], 2.0, 40.0)
    assert (matrix - matrix.T).abs().max() > 1e-3
    scores = probabilities.log().requires_grad_()
    found = dense_crf_loss(scores.softmax(1), image, [appearance_kernel(2.0, 40.0, 1.0)], mask, "none")
    (gradient,) = torch.autograd.grad(found, scores)
    same = scores.detach().requires_grad_()
    wanted = cut(same.softmax(1)[0], mask[0], (matrix + matrix.T) / 2) / mask.sum()
    torch.testing.assert_close(found, wanted, rtol=1e-12, atol=0)
    torch.testing.assert_close(gradient, torch.autograd.grad(wanted, same)[0], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("filter", ["lattice", "exact"])
def test_float32_is_close_to_float64(filter: str) -> None:
    probabilities, image, depth, mask = problem(height=9, width=11)
    wide = dense_crf_loss(probabilities, image, KERNELS, mask, features={"depth": depth}, filter=filter)
    narrow = dense_crf_loss(
        probabilities.float(), image.float(), KERNELS, mask.float(), features={"depth": depth.float()}, filter=filter
    )
    assert narrow.dtype == torch.float32
    torch.testing.assert_close(narrow.double(), wide, rtol=1e-3 if filter == "lattice" else 1e-5, atol=0)


@pytest.mark.parametrize("kernels", [POSITIONS_AND_COLORS, [grid_kernel(4, 40.0, 1.0)]], ids=["lattice", "grid"])
def test_labels_may_change_places_and_images_batches(kernels: list) -> None:
    probabilities, image, _, mask = problem(batch=3, labels=4, height=7, width=8)
    loss = dense_crf_loss(probabilities, image, kernels, mask)
    torch.testing.assert_close(dense_crf_loss(probabilities[:, [2, 0, 3, 1]], image, kernels, mask), loss)
    singles = [
        dense_crf_loss(p[None], i[None], kernels, m[None]) * m.sum()
        for p, i, m in zip(probabilities, image, mask, strict=True)
    ]
    torch.testing.assert_close(sum(singles) / mask.sum(), loss)


@pytest.mark.parametrize("filter", ["lattice", "exact"])
def test_masked_pixels_have_no_gradient_and_no_say(filter: str) -> None:
    probabilities, image, _, _ = problem(height=7, width=8)
    mask = torch.rand(2, 7, 8) < 0.6
    probabilities.requires_grad_()
    loss = dense_crf_loss(probabilities, image, POSITIONS_AND_COLORS, mask, filter=filter)
    (gradient,) = torch.autograd.grad(loss, probabilities)
    outside = (~mask)[:, None].expand_as(gradient)
    assert not gradient[outside].any()
    assert gradient[~outside].all()
    other = torch.where(outside, torch.randn_like(gradient).softmax(1), probabilities)
    torch.testing.assert_close(dense_crf_loss(other, image, POSITIONS_AND_COLORS, mask, filter=filter), loss)


def test_nothing_in_the_mask_costs_nothing() -> None:
    probabilities, image, _, _ = problem()
    probabilities.requires_grad_()
    loss = dense_crf_loss(probabilities, image, POSITIONS_AND_COLORS, torch.zeros(2, 5, 6))
    loss.backward()
    assert loss == 0
    assert not probabilities.grad.any()


def test_known_values_of_two_pixels() -> None:
    """k = exp(-1/2): two certain labels cost k a pixel, half and half (1 + k) / 2, one label nothing."""
    kernel, k = [smoothness_kernel(1.0, 1.0)], torch.tensor(-0.5, dtype=torch.float64).exp()
    values = {(1.0, 0.0): k, (0.5, 0.5): (1 + k) / 2, (1.0, 1.0): 0 * k}
    for first, wanted in values.items():
        p = torch.tensor(first, dtype=torch.float64).reshape(1, 1, 1, 2)
        found = dense_crf_loss(torch.cat([p, 1 - p], 1), None, kernel, normalization="none", filter="exact")
        torch.testing.assert_close(found, wanted)


def two_colors(height: int = 8, width: int = 10) -> tuple[torch.Tensor, torch.Tensor]:
    """A dark left and a bright right half, so unlike that no kernel joins them, and the labels of the halves."""
    truth = (torch.arange(width) >= width // 2).expand(height, width)
    return (40.0 + 180.0 * truth).expand(1, 3, height, width).contiguous(), truth.long()


@pytest.mark.parametrize("filter", ["lattice", "exact"])
def test_one_labeled_pixel_of_each_color_labels_all(filter: str) -> None:
    """The minimum beside two labeled pixels is known: the halves, at a loss of 0."""
    image, truth = two_colors()
    kernels = [appearance_kernel(20.0, 10.0, 1.0)]
    halves = torch.nn.functional.one_hot(truth).permute(2, 0, 1)[None].float()
    assert dense_crf_loss(halves, image, kernels, filter=filter) < 1e-6
    scores = torch.zeros(1, 2, 8, 10, requires_grad=True)
    optimizer = torch.optim.Adam([scores], 1.0)
    for _ in range(40):
        optimizer.zero_grad()
        log = scores.log_softmax(1)
        loss = dense_crf_loss(log.exp(), image, kernels, filter=filter) - log[0, 0, 2, 1] - log[0, 1, 6, 8]
        loss.backward()
        optimizer.step()
    assert torch.equal(scores.argmax(1)[0], truth)
    assert loss < 0.05


def test_half_precision_is_widened_and_autocast_left_out() -> None:
    probabilities, image, _, _ = problem(dtype=torch.float32)
    wanted = dense_crf_loss(probabilities.bfloat16().float(), image, POSITIONS_AND_COLORS)
    with torch.autocast("cpu", torch.bfloat16):
        found = dense_crf_loss(probabilities.bfloat16(), image, POSITIONS_AND_COLORS)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, wanted)


GIVEN, IMAGE, DEPTH, MASK = problem(batch=1)


@pytest.mark.parametrize(
    ("error", "words", "arguments"),
    [
        (ValueError, "softmax", (GIVEN.log(), IMAGE, POSITIONS_AND_COLORS)),
        (ValueError, "softmax", (0.5 * GIVEN, IMAGE, POSITIONS_AND_COLORS)),
        (TypeError, "probabilities is a list", ([1], IMAGE, POSITIONS_AND_COLORS)),
        (ValueError, "kernels is empty", (GIVEN, IMAGE, [])),
        (ValueError, "image, which was not given", (GIVEN, None, POSITIONS_AND_COLORS)),
        (ValueError, "resize the probabilities", (GIVEN, IMAGE[..., 1:], POSITIONS_AND_COLORS)),
        (ValueError, "mask has shape", (GIVEN, IMAGE, POSITIONS_AND_COLORS, MASK[:, None])),
        (ValueError, r"outside of 0\.\.1", (GIVEN, IMAGE, POSITIONS_AND_COLORS, 2 + MASK)),
        (TypeError, "mask is a ndarray", (GIVEN, IMAGE, POSITIONS_AND_COLORS, MASK.numpy())),
        (ValueError, "normalization is 'row'", (GIVEN, IMAGE, POSITIONS_AND_COLORS, MASK, "row")),
    ],
)
def test_says_what_is_wrong(error: type, words: str, arguments: tuple) -> None:
    with pytest.raises(error, match=words):
        dense_crf_loss(*arguments)


@pytest.mark.parametrize(
    ("error", "words", "arguments"),
    [
        (ValueError, "filter is 'grid'", {"filter": "grid"}),
        (ValueError, "for 1 kernels", {"bandwidths": [torch.ones(1)]}),
        (ValueError, r"wanted \[2\]", {"bandwidths": [torch.ones(1), torch.ones(1)]}),
        (ValueError, "positive finite", {"bandwidths": [torch.zeros(1), torch.ones(2)]}),
        (TypeError, "bandwidths holds a float", {"bandwidths": [1.0, 2.0]}),
        (ValueError, "no kernel looks at features depth", {"features": {"depth": DEPTH}}),
    ],
)
def test_says_what_is_wrong_with_an_option(error: type, words: str, arguments: dict) -> None:
    with pytest.raises(error, match=words):
        dense_crf_loss(GIVEN, IMAGE, POSITIONS_AND_COLORS, **arguments)


def test_warns_of_an_image_that_is_not_in_gray_levels() -> None:
    with pytest.warns(UserWarning, match="raw image"):
        dense_crf_loss(GIVEN, IMAGE / 255, POSITIONS_AND_COLORS)
