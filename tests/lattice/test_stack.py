"""Several lattices as one, against each by itself."""

import pytest
import torch
from torch import Tensor

from crfrnn.lattice import Lattice, LatticeStack
from tests.lattice.conftest import Backend, build_in_torch

DIMENSIONS = (2, 5, 1)
SCALES = (0.7, 2.0, -3.0)
NO_FACTORS = [None] * len(DIMENSIONS)


def lattices(backend: Backend, batch: int = 2, points: int = 25) -> list[Lattice]:
    features = [torch.randn(batch, points, d, dtype=torch.float64) for d in DIMENSIONS]
    return [backend.build(each, dilate=each.shape[-1] == 1) for each in features]


def factors(parts: list[Lattice]) -> Tensor:
    """A factor per kernel, spread over its columns."""
    return torch.cat(
        [torch.full((each.weights.shape[1],), s * each.alpha) for each, s in zip(parts, SCALES, strict=True)]
    ).double()


@pytest.mark.parametrize("transpose", [False, True])
def test_sum_of_kernels(backend: Backend, transpose: bool) -> None:
    parts, values = lattices(backend), torch.randn(2, 25, 4).double()
    stack = LatticeStack(parts)
    vertices = stack.blur(stack.splat(values.flatten(0, 1), stack.fold(NO_FACTORS)), reverse=transpose)
    out = stack.slice(vertices, stack.fold(NO_FACTORS) * factors(parts))
    wanted = sum(s * each.filter(values, transpose) for each, s in zip(parts, SCALES, strict=True))
    torch.testing.assert_close(out.view(2, 25, 4), wanted)


def test_segments_and_columns_belong_to_the_kernels(backend: Backend) -> None:
    parts, values = lattices(backend), torch.randn(50, 4).double()
    stack = LatticeStack(parts)
    vertices = stack.splat(values, stack.fold(NO_FACTORS))
    assert vertices.shape[0] == stack.num_vertices == sum(each.num_vertices for each in parts)
    for each, segment, column in zip(parts, stack.segments, stack.columns, strict=True):
        assert torch.equal(stack.fold(NO_FACTORS)[:, column], each.weights)
        torch.testing.assert_close(vertices[segment], each.splat(values, each.weights))


def test_gradients(backend: Backend) -> None:
    parts = lattices(backend, batch=1, points=4)
    stack = LatticeStack(parts)
    values, weights = torch.randn(4, 2).double().requires_grad_(), torch.randn(4, 11).double().requires_grad_()

    def run(values: Tensor, weights: Tensor) -> Tensor:
        weights = weights.clone()  # finite differences write to the original behind autograd's back
        return stack.slice(stack.blur(stack.splat(values, weights)), weights)

    assert torch.autograd.gradcheck(run, (values, weights))


def test_weights_lead_to_the_features(backend: Backend) -> None:
    features = [torch.randn(1, 6, d, dtype=torch.float64, requires_grad=True) for d in DIMENSIONS]
    LatticeStack([backend.build(each) for each in features]).fold(NO_FACTORS).square().sum().backward()
    assert all(each.grad is not None and each.grad.abs().max() > 0 for each in features)


def test_repeated_lattice_in_a_stack(backend: Backend) -> None:
    """One kernel depends on the size alone, the other on the images."""
    shared, own = torch.randn(1, 20, 2).double(), torch.randn(3, 20, 5).double()
    values = torch.randn(60, 2).double()
    repeated = LatticeStack([backend.build(shared).repeat(3), backend.build(own)])
    plain = LatticeStack([backend.build(shared.expand(3, -1, -1)), backend.build(own)])
    outs = [s.slice(s.blur(s.splat(values, s.fold([None, None]))), s.fold([None, None])) for s in (repeated, plain)]
    torch.testing.assert_close(*outs)


def test_lattices_must_agree() -> None:
    with pytest.raises(ValueError, match=r"at least one"):
        LatticeStack([])
    features = torch.randn(1, 5, 2, device="cpu")  # where there is compiled code
    compiled, plain = Lattice.build(features), build_in_torch(features)
    with pytest.raises(ValueError, match=r"native\.disabled"):
        LatticeStack([compiled, plain])
    one, more = Lattice.build(torch.randn(1, 5, 2)), Lattice.build(torch.randn(2, 5, 2))
    with pytest.raises(ValueError, match=r"differ in \(B, N, dtype, device\).*\(1, 5.*\(2, 5.*repeat"):
        LatticeStack([one, more])
