"""The exact kernels: positions, axis by axis; and no self-messages, where all that others say is small beside these."""

import pytest
import torch
from torch import Tensor

from crfrnn import CRFRNN, appearance_kernel, smoothness_kernel
from crfrnn.kernels import build_kernels
from crfrnn.kernels.matrices import ExactMatrix, PositionMatrix
from tests.dense_meanfield import dense_features, dense_kernel, dense_meanfield, dense_normalized


@pytest.mark.parametrize("normalization", ["after", "before", "symmetric"])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-4), (torch.float64, 1e-10)])
def test_small_sums_are_not_lost_beside_the_diagonal(normalization: str, dtype: torch.dtype, tolerance: float) -> None:
    """Colors 6 bandwidths and more apart: sums of 1e-8 and less, below the rounding of 1 in float32."""
    color = 18 + 2 * torch.rand(12, dtype=torch.float64)
    image = color.cumsum(0)[torch.randperm(12)].reshape(1, 1, 3, 4).to(dtype).requires_grad_()
    unary = torch.randn(1, 2, 3, 4, dtype=dtype)
    crf = CRFRNN(2, [appearance_kernel(50, 3, 2.0)], 2, normalization, exclude_self=True, filter="exact")
    out = crf(unary, image)
    (gradient,) = torch.autograd.grad(out.square().sum(), image)

    same = image.detach().double().requires_grad_()
    kernel = dense_normalized(dense_kernel(dense_features(same[0], 50, 3)), normalization, True)
    logits = dense_meanfield(
        unary[0].double().reshape(2, -1).T, [kernel], [2 * torch.eye(2).double()], 1 - torch.eye(2).double(), 2
    )
    (wanted,) = torch.autograd.grad(logits.square().sum(), same)
    torch.testing.assert_close(out[0].reshape(2, -1).T.double(), logits, rtol=tolerance, atol=tolerance)
    torch.testing.assert_close(gradient.double(), wanted, rtol=tolerance, atol=tolerance * wanted.abs().max().item())


@pytest.mark.parametrize(
    ("size", "thetas", "spacing"),
    [
        ((7,), (2.5,), None),
        ((4, 6), (1.5,), None),
        ((4, 6), (1.5, 0.7), (2.0, 0.5)),
        ((3, 4, 2), (1.0, 2.0, 3.0), None),
    ],
)
def test_positions_axis_by_axis(
    size: tuple[int, ...], thetas: tuple[float, ...], spacing: tuple[float, ...] | None
) -> None:
    """Against the sum over all pairs, with gradients to values and bandwidths."""
    like = torch.empty(2, 3, *size, dtype=torch.float64)
    units = torch.tensor(thetas, dtype=torch.float64)
    grid = torch.stack(torch.meshgrid(*(torch.arange(n).double() for n in size), indexing="ij"), -1).flatten(0, -2)
    grid = grid * torch.tensor(spacing or 1.0, dtype=torch.float64)
    kernel = smoothness_kernel(thetas if len(thetas) > 1 else thetas[0])

    def ours(values: Tensor, units: Tensor) -> Tensor:
        (matrix,) = build_kernels(
            [kernel], [units], {}, like, normalization="none", exact=True, spacing=spacing
        ).kernels
        torch.testing.assert_close(matrix.row_sums()[..., None], matrix.filter(torch.ones_like(values[..., :1])))
        assert torch.equal(matrix.diagonal(), torch.ones_like(values[..., 0]))
        return matrix.filter(values)

    values = torch.randn(2, len(grid), 3, dtype=torch.float64, requires_grad=True)
    dense = (-(((grid[:, None] - grid) / units) ** 2).sum(-1) / 2).exp()
    torch.testing.assert_close(ours(values, units), dense @ values)
    assert torch.autograd.gradcheck(ours, (values, units.requires_grad_()))


def test_a_long_axis_takes_no_square_of_memory() -> None:
    """Of 2,049 pixels, with 2^22 entries as the most; the sums are the same."""
    values = torch.randn(1, 2049, 1)
    kernels = [
        build_kernels(
            [smoothness_kernel(3)], [torch.tensor([3.0])], {}, torch.empty(1, 1, n), normalization="none", exact=True
        )
        for n in (2048, 2049)
    ]
    short, long = (each.kernels[0] for each in kernels)
    assert (type(short), type(long)) == (PositionMatrix, ExactMatrix)
    torch.testing.assert_close(short.filter(values[:, :2048])[:, :2000], long.filter(values)[:, :2000])
