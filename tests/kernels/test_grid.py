"""The grid kernel against matrices written pair by pair, finite differences, and the layer's own promises."""

import itertools
from typing import Any

import pytest
import torch
from torch import Tensor

from crfrnn import CRFRNN, appearance_kernel, grid_kernel, smoothness_kernel
from crfrnn.kernels import Kernel
from crfrnn.kernels.matrices import GridMatrix
from tests.dense_meanfield import dense_features, dense_kernel, dense_meanfield, dense_normalized

THETA = 60.0
SIZES = [(4, 6), (1, 5), (5, 1), (1, 1), (2, 2)]
FORMS = {"after": "scalar", "before": "diagonal", "symmetric": "matrix", "none": "matrix"}


def dense_grid(image: Tensor, neighbors: int, theta: float = THETA) -> Tensor:
    """The matrix [N, N] for an image [C, H, W], a pair of pixels at a time."""
    height, width = image.shape[1:]
    pixels = list(itertools.product(range(height), range(width)))
    matrix = image.new_zeros(len(pixels), len(pixels))
    for (i, p), (j, q) in itertools.product(enumerate(pixels), repeat=2):
        rows, columns = abs(p[0] - q[0]), abs(p[1] - q[1])
        if rows + columns == 1 or (neighbors == 8 and rows == columns == 1):
            contrast = (image[:, p[0], p[1]] - image[:, q[0], q[1]]).square().sum()
            matrix[i, j] = torch.exp(-contrast / (2 * theta**2)) / (rows + columns) ** 0.5
    return matrix


def problem(height: int, width: int, batch: int = 1, channels: int = 3, labels: int = 3) -> tuple[Tensor, Tensor]:
    unary = 2 * torch.randn(batch, labels, height, width, dtype=torch.float64)
    return unary, 255 * torch.rand(batch, channels, height, width, dtype=torch.float64)


@pytest.mark.parametrize("neighbors", [4, 8])
@pytest.mark.parametrize(("height", "width"), SIZES)
@pytest.mark.parametrize("channels", [1, 3])
def test_filter_is_the_matrix_of_neighbors(neighbors: int, height: int, width: int, channels: int) -> None:
    _, images = problem(height, width, batch=2, channels=channels)
    grid = GridMatrix(images / THETA, neighbors)
    wanted = torch.stack([dense_grid(image, neighbors) for image in images])
    values = torch.randn(2, 3, height * width, dtype=torch.float64).mT  # not contiguous
    torch.testing.assert_close(grid.filter(values), wanted @ values, rtol=0, atol=1e-12)
    torch.testing.assert_close(grid.row_sums(), wanted.sum(2), rtol=0, atol=1e-12)
    assert torch.equal(grid.diagonal(), torch.zeros(2, height * width, dtype=torch.float64))


@pytest.mark.parametrize("neighbors", [4, 8])
@pytest.mark.parametrize("normalization", FORMS)
@pytest.mark.parametrize("exclude_self", [False, True])
@pytest.mark.parametrize("filter", ["exact", "lattice"])
def test_layer_is_the_dense_mean_field(neighbors: Any, normalization: Any, exclude_self: bool, filter: Any) -> None:
    crf = CRFRNN(
        3, [grid_kernel(neighbors, THETA, 0.7)], 3, normalization, FORMS[normalization], exclude_self=exclude_self,
        compatibility=torch.randn(3, 3), filter=filter,
    ).double()  # fmt: skip
    with torch.no_grad():
        crf.cell.kernel_weights += 0.3 * torch.randn_like(crf.cell.kernel_weights)
    unary, image = problem(4, 6)
    kernel = dense_normalized(dense_grid(image[0], neighbors), normalization, exclude_self=False)
    weight = crf.cell.kernel_weights[0]
    matrix = weight if weight.ndim == 2 else torch.diag(weight.expand(3))
    wanted = dense_meanfield(unary[0].flatten(1).T, [kernel], [matrix], crf.cell.compatibility, 3)
    torch.testing.assert_close(crf(unary, image)[0].flatten(1).T, wanted, rtol=0, atol=1e-10)


def test_it_stands_beside_kernels_between_all_pixels() -> None:
    kernels = [smoothness_kernel(1.5, 0.8), grid_kernel(4, THETA, 2.0), appearance_kernel(4.0, 40.0, 1.3)]
    unary, image = problem(4, 6)
    eye = torch.eye(3, dtype=torch.float64)
    raw = [dense_kernel(dense_features(image[0], 1.5)), dense_grid(image[0], 4)]
    raw.append(dense_kernel(dense_features(image[0], 4.0, 40.0)))
    dense = [dense_normalized(each, "after", False) for each in raw]
    wanted = dense_meanfield(unary[0].flatten(1).T, dense, [0.8 * eye, 2 * eye, 1.3 * eye], 1 - eye, 3)
    exact = CRFRNN(3, kernels, 3, filter="exact").double()
    torch.testing.assert_close(exact(unary, image)[0].flatten(1).T, wanted, rtol=0, atol=1e-6)

    lattice = CRFRNN(3, kernels, 3).double()
    parts = [CRFRNN(3, [kernel]).double() for kernel in kernels]
    given = [part.build_kernels({"image": image}, unary) for part in parts]
    beliefs = unary.flatten(2).mT.softmax(-1)
    wanted = unary.flatten(2).mT - sum(part.cell.penalty(beliefs, own) for part, own in zip(parts, given, strict=True))
    torch.testing.assert_close(lattice(unary, image, 1).flatten(2).mT, wanted, rtol=0, atol=1e-10)


@pytest.mark.parametrize(("normalization", "exclude_self"), [(n, e) for n in FORMS for e in (False, True)])
def test_gradients_of_everything_by_finite_differences(normalization: Any, exclude_self: bool) -> None:
    crf = CRFRNN(
        2, [grid_kernel(8, THETA, 0.9)], 2, normalization, FORMS[normalization], torch.randn(2, 2),
        learn_bandwidths=True, exclude_self=exclude_self,
    ).double()  # fmt: skip
    unary, image = (each.requires_grad_() for each in problem(2, 3, channels=2, labels=2))
    names, parameters = zip(*crf.named_parameters(), strict=True)

    def run(u: Tensor, i: Tensor, *values: Tensor) -> Tensor:
        return torch.func.functional_call(crf, dict(zip(names, values, strict=True)), (u, i))

    assert torch.autograd.gradcheck(run, (unary, image, *parameters), eps=1e-6, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("normalization", FORMS)
@pytest.mark.parametrize("theta", [1.0, 40.0])
def test_no_contrast_is_too_large(normalization: Any, theta: float) -> None:
    """Where no neighbor is alike in float32, row sums would vanish and gradients with them become NaN."""
    image = torch.zeros(1, 3, 4, 4)
    image[..., ::2, 1::2] = image[..., 1::2, ::2] = 255
    image.requires_grad_()
    crf = CRFRNN(3, [grid_kernel(4, theta)], 3, normalization, learn_bandwidths=True)
    logits = crf(torch.randn(1, 3, 4, 4), image)
    logits.square().sum().backward()
    assert all(each.isfinite().all() for each in (logits, image.grad, crf.log_bandwidth_scales[0].grad))


def test_batch_precision_and_memory_layout() -> None:
    unary, image = problem(5, 7, batch=3)
    crf = CRFRNN(3, [grid_kernel(8, THETA, 1.0)], normalization="none").double()
    wanted = torch.cat([crf(unary[i : i + 1], image[i : i + 1]) for i in range(3)])
    torch.testing.assert_close(crf(unary, image), wanted, rtol=0, atol=1e-12)
    last = torch.channels_last
    strided = crf(unary.contiguous(memory_format=last), image.contiguous(memory_format=last))
    torch.testing.assert_close(strided, wanted, rtol=0, atol=1e-12)
    torch.testing.assert_close(crf.float()(unary.float(), image.float()), wanted.float(), rtol=1e-4, atol=1e-4)
    with torch.autocast("cpu", torch.bfloat16):
        assert crf(unary.bfloat16(), image.bfloat16()).dtype == torch.float32


def test_a_walk_a_tolerance_and_few_labels() -> None:
    unary, image = problem(5, 7)
    unary[:, 2] -= 20
    crf = CRFRNN(3, [grid_kernel(8, THETA, 0.3)], 30, "none", min_belief=1e-3).double()
    states = list(crf.iterate(unary, image))
    torch.testing.assert_close(crf(unary, image), states[-1].logits)
    first = next(state for state in states if bool((state.residual() <= 1e-4).all()))
    assert torch.equal(crf(unary, image, tolerance=1e-4), first.logits)
    assert 2 < first.iteration < 30
    # The pair term of an edge counts in the energy once: half of the sum over i and j.
    beliefs = states[-1].beliefs[0].flatten(1).T
    disagreement = dense_grid(image[0], 8) * (1 - beliefs @ beliefs.T)
    entropy = -beliefs.xlogy(beliefs).sum()
    energy = 0.3 * disagreement.sum() / 2 - (beliefs * unary[0].flatten(1).T).sum() - entropy
    torch.testing.assert_close(states[-1].free_energy()[0], energy, rtol=0, atol=1e-5)


def test_settings_rebuild_the_layer() -> None:
    unary, image = problem(4, 5)
    crf = CRFRNN(3, [grid_kernel(4, 30.0, 0.5), smoothness_kernel(2.0, 1.0)], 2).double()
    again = CRFRNN.from_settings(crf.settings()).double()
    assert again.kernels == crf.kernels
    assert torch.equal(again(unary, image), crf(unary, image))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: grid_kernel(5), "neighbors is 5; a pixel of an image has 4, or 8"),
        (lambda: grid_kernel(4, theta_beta=0), "theta_guide .* is 0.0; wanted a positive finite"),
        (lambda: Kernel(1.0, theta_position=3.0, neighbors=4), "wanted theta_guide and no theta_position"),
        (lambda: CRFRNN(3, [grid_kernel()])(torch.zeros(1, 3, 2, 2)), "the kernels look at image"),
    ],
)
def test_what_makes_no_sense(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
