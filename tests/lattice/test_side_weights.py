"""A lattice with a blur of its own, against the same lattice written out densely."""

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck

from crfrnn import native
from crfrnn.lattice import Lattice, LatticeStack
from tests.lattice.conftest import Backend
from tests.lattice.yardsticks import dense_lattice
from tests.threads import threads

POINTS = 30


def cloud(dimensions: int) -> Tensor:
    return torch.randn(1, POINTS, dimensions, dtype=torch.float64) * 2 / dimensions**0.5


def some_weights(dimensions: int) -> Tensor:
    return 0.1 + torch.rand(dimensions + 1, dtype=torch.float64)


@pytest.mark.parametrize("dilate", [False, True])
@pytest.mark.parametrize("dimensions", [1, 2, 3, 5])
def test_filter_adjoint_row_sums_and_diagonal_are_those_of_the_matrix(
    backend: Backend, dimensions: int, dilate: bool
) -> None:
    features, weights = cloud(dimensions), some_weights(dimensions)
    wanted = dense_lattice(features[0], dilate, weights)
    lattice = backend.build(features, dilate=dilate).with_side_weights(weights)
    identity = torch.eye(POINTS, dtype=torch.float64)[None]
    for found, answer in (
        (lattice.filter(identity)[0], wanted),
        (lattice.filter(identity, transpose=True)[0], wanted.T),
        (lattice.row_sums()[0], wanted.sum(1)),
        (lattice.diagonal()[0], wanted.diagonal()),
    ):
        torch.testing.assert_close(found, answer, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("reverse", "count"), [(False, 1), (True, 3)])
def test_gradients_are_those_of_the_matrix(backend: Backend, reverse: bool, count: int) -> None:
    with threads(count):
        features, values = cloud(3), torch.randn(1, POINTS, 5, dtype=torch.float64, requires_grad=True)
        weights, slopes = some_weights(3).requires_grad_(), torch.randn(1, POINTS, 5, dtype=torch.float64)
        lattice = backend.build(features).with_side_weights(weights)
        matrix = dense_lattice(features[0], side_weights=weights)

        def loss(filtered: Tensor, sums: Tensor, diagonal: Tensor) -> Tensor:
            return (filtered * slopes).sum() + (sums.log() + diagonal.square()).sum()

        dense = matrix.T if reverse else matrix
        wanted = torch.autograd.grad(loss(dense @ values, matrix.sum(1), matrix.diagonal()), (values, weights))
        own = loss(lattice.filter(values, reverse), lattice.row_sums(), lattice.diagonal())
        for found, answer in zip(torch.autograd.grad(own, (values, weights)), wanted, strict=True):
            torch.testing.assert_close(found, answer, rtol=1e-12, atol=1e-12)


def test_with_one_half_the_compiled_blur_is_the_usual_one_bit_for_bit() -> None:
    features, values = cloud(5).float(), torch.randn(1, POINTS, 5)
    lattice = Lattice.build(features)
    assert torch.equal(lattice.with_side_weights(torch.full((6,), 0.5)).filter(values), lattice.filter(values))


@pytest.mark.parametrize("own", [(True, True), (True, False), (False, True)])
def test_every_kernel_of_a_stack_keeps_its_weights(backend: Backend, own: tuple[bool, bool]) -> None:
    sets = [cloud(2), cloud(4)]
    weights = [some_weights(each.shape[2]).requires_grad_() for each in sets]
    lattices = [backend.build(each) for each in sets]
    for m, has in enumerate(own):
        if has:
            lattices[m] = lattices[m].with_side_weights(weights[m])
    values = torch.randn(POINTS, 3, dtype=torch.float64)
    stack = LatticeStack([each.repeat(2) for each in lattices])
    pairs = stack.fold([None, None])
    vertices = stack.blur(stack.splat(values.repeat(2, 1), pairs))
    scaled = [each.alpha * vertices[rows] for rows, each in zip(stack.segments, stack.lattices, strict=True)]
    out = stack.slice(torch.cat(scaled), pairs)
    matrices = [
        dense_lattice(each[0], side_weights=weight if has else None)
        for each, weight, has in zip(sets, weights, own, strict=True)
    ]
    wanted = ((matrices[0] + matrices[1]) @ values).repeat(2, 1)
    torch.testing.assert_close(out, wanted, rtol=0, atol=1e-12)
    slopes = torch.randn_like(out)
    learned = [weight for weight, has in zip(weights, own, strict=True) if has]
    answers = torch.autograd.grad((wanted * slopes).sum(), learned)
    for found, answer in zip(torch.autograd.grad((out * slopes).sum(), learned), answers, strict=True):
        torch.testing.assert_close(found, answer, rtol=1e-12, atol=1e-12)


def test_plain_torch_has_second_derivatives_and_the_compiled_code_says_that_it_has_none() -> None:
    features, weights = cloud(2), some_weights(2).requires_grad_()
    values = torch.randn(1, POINTS, 2, dtype=torch.float64)

    def slope(lattice: Lattice, each: Tensor) -> Tensor:
        loss = lattice.with_side_weights(each).filter(values).square().sum()
        return torch.autograd.grad(loss, each, create_graph=True)[0]

    with native.disabled():
        plain = Lattice.build(features)
    assert gradcheck(lambda each: slope(plain, each), (weights,))
    with pytest.raises(RuntimeError, match="differentiated once to its side weights"):
        slope(Lattice.build(features), weights).sum().backward()
