"""The exact kernel without self-messages, where all that others say is small beside what a pixel says to itself."""

import pytest
import torch

from crfrnn import CRFRNN, appearance_kernel
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
