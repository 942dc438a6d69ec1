"""The exact Gaussian filter in Triton against the dense sum in float64."""

import pytest
import torch
from torch import Tensor

from crfrnn import CRFRNN, appearance_kernel, gpu, smoothness_kernel
from crfrnn.lattice import exact, exact_gaussian_filter

pytestmark = pytest.mark.skipif(
    not gpu.runs(torch.empty(0)),
    reason="2026-11-26: needs a GPU, or Triton and TRITON_INTERPRET=1; .ci/gpu runs these",
)


def dense(values: Tensor, features: Tensor, exclude_self: bool) -> Tensor:
    kernel = (-(torch.cdist(features, features, compute_mode="donot_use_mm_for_euclid_dist") ** 2) / 2).exp()
    return (kernel - torch.diag_embed(kernel.diagonal(dim1=1, dim2=2)) if exclude_self else kernel) @ values


@pytest.mark.parametrize("exclude_self", [False, True])
@pytest.mark.parametrize(("points", "dimensions", "channels"), [(1, 1, 1), (70, 2, 3), (130, 5, 40)])
def test_values_and_gradients(points: int, dimensions: int, channels: int, exclude_self: bool) -> None:
    """Of two images whose points fill no whole number of tiles, far from the origin."""
    features = 300 + 1.5 * torch.randn(2, points, dimensions)
    values, slopes = torch.randn(2, points, channels), torch.randn(2, points, channels)

    def run(function: object, dtype: torch.dtype) -> list[Tensor]:
        inputs = [each.to(dtype).requires_grad_() for each in (values, features)]
        out = function(*inputs, exclude_self=exclude_self)  # type: ignore[operator]
        return [out.detach(), *torch.autograd.grad(out, inputs, slopes.to(dtype))]

    assert exact._in_triton(features)
    for got, wanted in zip(run(exact_gaussian_filter, torch.float32), run(dense, torch.float64), strict=True):
        torch.testing.assert_close(got.double(), wanted, rtol=2e-5, atol=2e-5)


def test_a_layer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Through all iterations, with gradients, against the tiles in plain torch."""
    unary, image = torch.randn(2, 3, 7, 8), 255 * torch.rand(2, 3, 7, 8)
    crf = CRFRNN(3, [smoothness_kernel(2), appearance_kernel(5, 40)], 2, filter="exact", learn_bandwidths=True)

    def run() -> list[Tensor]:
        inputs = [unary.clone().requires_grad_(), image.clone().requires_grad_(), *crf.parameters()]
        out = crf(*inputs[:2])
        return [out.detach(), *torch.autograd.grad(out.tanh().sum(), inputs)]

    got = run()
    monkeypatch.setenv("CRFRNN_GPU", "torch")
    for ours, theirs in zip(got, run(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
