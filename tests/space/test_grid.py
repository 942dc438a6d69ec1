"""Grids of one and three axes beside matrices written pair by pair."""

import itertools

import pytest
import torch
from torch import Tensor

from crfrnn import CRFRNN, grid_kernel
from crfrnn.kernels.matrices import GridMatrix
from tests.dense_meanfield import dense_normalized
from tests.space.problems import LABELS, SPACING, dense_logits, problem

THETA = 60.0
GRIDS = [(2, (7,)), (2, (1,)), (4, (4, 3)), (8, (4, 3)), (6, (3, 2, 4)), (26, (3, 2, 4)), (26, (1, 3, 1))]


def dense_grid(image: Tensor, neighbors: int, spacing: tuple[float, ...] | None = None) -> Tensor:
    """The matrix [N, N] for an image [C, *space], a pair of pixels at a time."""
    places = list(itertools.product(*map(range, image.shape[1:])))
    matrix = image.new_zeros(len(places), len(places))
    for (i, p), (j, q) in itertools.product(enumerate(places), repeat=2):
        apart = [abs(a - b) for a, b in zip(p, q, strict=True)]
        if max(apart) == 1 and (neighbors in (8, 26) or sum(apart) == 1):
            contrast = (image[(slice(None), *p)] - image[(slice(None), *q)]).square().sum()
            length = sum((a * s) ** 2 for a, s in zip(apart, spacing or (1,) * len(p), strict=True)) ** 0.5
            matrix[i, j] = torch.exp(-contrast / (2 * THETA**2)) / length
    return matrix


@pytest.mark.parametrize(("neighbors", "size"), GRIDS)
@pytest.mark.parametrize("scaled", [False, True], ids=["pixels", "spacing"])
def test_filter_is_the_matrix_of_neighbors(neighbors: int, size: tuple[int, ...], scaled: bool) -> None:
    _, images = problem(size)
    spacing = SPACING[len(size)] if scaled else None
    grid = GridMatrix(images / THETA, neighbors, spacing)
    wanted = torch.stack([dense_grid(image, neighbors, spacing) for image in images])
    values = torch.randn(2, wanted.shape[1], 3, dtype=torch.float64)
    torch.testing.assert_close(grid.filter(values), wanted @ values, rtol=0, atol=1e-12)
    torch.testing.assert_close(grid.row_sums(), wanted.sum(2), rtol=0, atol=1e-12)
    assert torch.equal(grid.diagonal(), torch.zeros(2, wanted.shape[1], dtype=torch.float64))


@pytest.mark.parametrize(("neighbors", "size"), [(2, (7,)), (6, (3, 2, 4)), (26, (3, 2, 4))])
def test_every_voxel_has_as_many_neighbors(neighbors: int, size: tuple[int, ...]) -> None:
    flat = GridMatrix(torch.zeros(1, 1, *(3,) * len(size)), neighbors)
    lengths = {2: 2, 6: 6, 26: 6 + 12 / 2**0.5 + 8 / 3**0.5}
    center = 3 ** len(size) // 2
    assert flat.row_sums()[0, center].item() == pytest.approx(lengths[neighbors])


@pytest.mark.parametrize(("neighbors", "size"), [(2, (7,)), (6, (3, 2, 4)), (26, (3, 2, 4))])
def test_layer_is_the_dense_mean_field(neighbors: int, size: tuple[int, ...]) -> None:
    crf = CRFRNN(LABELS, [grid_kernel(neighbors, THETA, 0.7)], 3, "symmetric").double()
    unary, image = problem(size, batch=1)
    spacing = SPACING[len(size)]
    kernel = dense_normalized(dense_grid(image[0], neighbors, spacing), "symmetric", exclude_self=False)
    wanted = dense_logits(unary[0], [kernel], [0.7], 3)
    torch.testing.assert_close(crf(unary, image, spacing=spacing)[0], wanted, rtol=0, atol=1e-6)
