"""Several lattices as one, against each by itself."""

import pytest
import torch
from torch import Tensor

from crfrnn.lattice import Lattice, LatticeStack

DIMENSIONS = (2, 5, 1)
SCALES = (0.7, 2.0, -3.0)


def lattices(batch: int = 2, points: int = 25, requires_grad: bool = False) -> list[Lattice]:
    features = [torch.randn(batch, points, d, dtype=torch.float64, requires_grad=requires_grad) for d in DIMENSIONS]
    return [Lattice.build(each, dilate=each.shape[-1] == 1) for each in features]


def factors(parts: list[Lattice]) -> Tensor:
    """A factor per kernel, spread over its columns."""
    return torch.cat(
        [torch.full((each.weights.shape[1],), s * each.alpha) for each, s in zip(parts, SCALES, strict=True)]
    ).double()


@pytest.mark.parametrize("transpose", [False, True])
def test_sum_of_kernels(transpose: bool) -> None:
    parts, values = lattices(), torch.randn(2, 25, 4).double()
    stack = LatticeStack(parts)
    vertices = stack.blur(stack.splat(values.flatten(0, 1), stack.weights), reverse=transpose)
    out = stack.slice(vertices, stack.weights * factors(parts))
    wanted = sum(s * each.filter(values, transpose) for each, s in zip(parts, SCALES, strict=True))
    torch.testing.assert_close(out.view(2, 25, 4), wanted)


def test_segments_and_columns_belong_to_the_kernels() -> None:
    parts, values = lattices(), torch.randn(50, 4).double()
    stack = LatticeStack(parts)
    vertices = stack.splat(values, stack.weights)
    assert vertices.shape[0] == stack.num_vertices == sum(each.num_vertices for each in parts)
    for each, segment, column in zip(parts, stack.segments, stack.columns, strict=True):
        assert torch.equal(stack.weights[:, column], each.weights)
        torch.testing.assert_close(vertices[segment], each.splat(values, each.weights))


def test_gradients() -> None:
    parts = lattices(batch=1, points=4)
    stack = LatticeStack(parts)
    values, weights = torch.randn(4, 2).double().requires_grad_(), torch.randn(4, 11).double().requires_grad_()

    def run(values: Tensor, weights: Tensor) -> Tensor:
        weights = weights.clone()  # finite differences write to the original behind autograd's back
        return stack.slice(stack.blur(stack.splat(values, weights)), weights)

    assert torch.autograd.gradcheck(run, (values, weights))


def test_weights_lead_to_the_features() -> None:
    features = [torch.randn(1, 6, d, dtype=torch.float64, requires_grad=True) for d in DIMENSIONS]
    LatticeStack([Lattice.build(each) for each in features]).weights.square().sum().backward()
    assert all(each.grad is not None and each.grad.abs().max() > 0 for each in features)


def test_repeated_lattice_in_a_stack() -> None:
    """One kernel depends on the size alone, the other on the images."""
    shared, own = torch.randn(1, 20, 2).double(), torch.randn(3, 20, 5).double()
    values = torch.randn(60, 2).double()
    repeated = LatticeStack([Lattice.build(shared).repeat(3), Lattice.build(own)])
    plain = LatticeStack([Lattice.build(shared.expand(3, -1, -1)), Lattice.build(own)])
    outs = [s.slice(s.blur(s.splat(values, s.weights)), s.weights) for s in (repeated, plain)]
    torch.testing.assert_close(*outs)


def test_lattices_must_agree() -> None:
    with pytest.raises(ValueError, match=r"at least one"):
        LatticeStack([])
    one, more = Lattice.build(torch.randn(1, 5, 2)), Lattice.build(torch.randn(2, 5, 2))
    with pytest.raises(ValueError, match=r"differ in \(B, N, dtype, device\).*\(1, 5.*\(2, 5.*repeat"):
        LatticeStack([one, more])
