"""The Triton kernels against sums that are written out, and a layer on them against one in plain torch.

They run on a GPU with CRFRNN_TEST_DEVICE=cuda, and anywhere in Python, slowly, with TRITON_INTERPRET=1.
"""

import pytest
import torch
from torch import Tensor

from crfrnn import CRFRNN, appearance_kernel, gpu, native, smoothness_kernel
from crfrnn.lattice import Lattice, operators, sums

if gpu.runs(torch.empty(0)):
    from crfrnn.gpu import launch

pytestmark = pytest.mark.skipif(
    not gpu.runs(torch.empty(0)),
    reason="2026-11-26: needs a GPU, or Triton and TRITON_INTERPRET=1; .ci/gpu runs these",
)
DTYPES = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float", "double"])
COLUMNS = pytest.mark.parametrize("columns", [1, 5, 21, 70])


def random_rows(count: int, columns: int, dtype: torch.dtype) -> Tensor:
    return torch.randn(count, columns, dtype=torch.float64).to(dtype)


@DTYPES
@COLUMNS
def test_rows(dtype: torch.dtype, columns: int) -> None:
    rows, weights = random_rows(30, columns, dtype), random_rows(50, 3, dtype)
    index = torch.randint(30, (50, 3), dtype=torch.int32)
    wanted = (weights[..., None] * rows[index.long()]).sum(1)
    torch.testing.assert_close(sums.sum_rows(index, rows, weights), wanted)


@DTYPES
@COLUMNS
def test_bags(dtype: torch.dtype, columns: int) -> None:
    """Bags of 0, 1 and several members, and one of most of them."""
    begin = torch.tensor([0, 0, 1, 4, 4, 90, 95], dtype=torch.int32)
    members = torch.randint(30, (96,), dtype=torch.int32)
    rows, weights = random_rows(30, columns, dtype), random_rows(96, 1, dtype)[:, 0]
    ends = [*begin.tolist()[1:], 96]
    terms = weights[:, None] * rows[members.long()]
    wanted = torch.stack([terms[a:b].sum(0) for a, b in zip(begin.tolist(), ends, strict=True)])
    torch.testing.assert_close(sums.sum_bags(begin, members, rows, weights), wanted)
    parts = random_rows(96, columns, dtype)
    wanted = torch.stack([parts[a:b].sum(0) for a, b in zip(begin.tolist(), ends, strict=True)])
    torch.testing.assert_close(sums.sum_parts(begin, parts), wanted)


@DTYPES
@COLUMNS
def test_blur(dtype: torch.dtype, columns: int) -> None:
    """A chain of 9 vertices without the link from the 4th to the 5th."""
    own = torch.arange(9)
    after = torch.tensor([1, 2, 3, 3, 5, 6, 7, 8, 8])
    before = torch.tensor([0, 0, 1, 2, 4, 4, 5, 6, 7])
    vertices = random_rows(9, columns, dtype)
    wanted = vertices.clone()
    wanted[:3] += vertices[1:4] / 2
    wanted[4:8] += vertices[5:9] / 2
    wanted[1:4] += vertices[:3] / 2
    wanted[5:9] += vertices[4:8] / 2
    neighbors = torch.stack([own, after, before], 1).int()
    torch.testing.assert_close(sums.blur_axis(neighbors, torch.empty(0), vertices), wanted)


@DTYPES
@COLUMNS
def test_products_of_pairs(dtype: torch.dtype, columns: int) -> None:
    rows, values = random_rows(30, columns, dtype), random_rows(50, columns, dtype)
    index, before = torch.randint(30, (50, 3), dtype=torch.int32), random_rows(50, 3, dtype)
    wanted = (rows[index.long()] * values[:, None]).sum(2)
    torch.testing.assert_close(sums.pair_products(index, rows, values), wanted)
    launch.pair_products(index, rows, values, total := before.clone())
    torch.testing.assert_close(total, before + wanted)


@DTYPES
@pytest.mark.parametrize("labels", [1, 2, 21])
def test_a_blur_that_multiplies(dtype: torch.dtype, labels: int) -> None:
    """Three kernels of 3, 0 and 4 vertices: each vertex has the sum of its neighbors, then the matrix of its kernel."""
    neighbors = torch.tensor([[0, 1, 0], [1, 2, 0], [2, 2, 1], [3, 4, 3], [4, 4, 3], [5, 6, 5], [6, 6, 5]])
    vertices, matrices = random_rows(7, labels, dtype), torch.randn(3, labels, labels).to(dtype)
    halves = [[1, 0.5, 0], [0.5, 1, 0.5], [0, 0.5, 1]], [[1, 0.5, 0, 0], [0.5, 1, 0, 0], [0, 0, 1, 0.5], [0, 0, 0.5, 1]]
    first, second = (torch.tensor(each, dtype=dtype) for each in halves)
    wanted = torch.cat([first @ vertices[:3] @ matrices[0], second @ vertices[3:] @ matrices[2]])
    stops = torch.tensor([3, 3, 7], dtype=torch.int32)
    torch.testing.assert_close(launch.blur_and_multiply(neighbors.int(), vertices, stops, matrices), wanted)


def problem(labels: int, batch: int = 2, height: int = 9, width: int = 11) -> tuple[CRFRNN, Tensor, Tensor]:
    crf = CRFRNN(
        labels, [smoothness_kernel(2.3, 1.1), appearance_kernel(7, 60, 1.4)], 3, kernel_weights="matrix"
    ).double()
    with torch.no_grad():
        crf.cell.compatibility += 0.2 * torch.randn(labels, labels, dtype=torch.float64)
    image = 255 * torch.rand(batch, 3, height, width, dtype=torch.float64)
    image[..., :4] = image[..., :1, :1]  # a flat sky, whose vertex has the pairs of many pixels
    return crf, 2 * torch.randn(batch, labels, height, width, dtype=torch.float64), image


@pytest.mark.parametrize("labels", [2, 5, 21, 33])
def test_the_loop_is_that_of_plain_torch(labels: int, monkeypatch: pytest.MonkeyPatch, runs: list[int]) -> None:
    crf, unary, image = problem(labels)
    with native.disabled(), torch.no_grad():
        got = crf(unary, image)
        assert len(runs) == 1
        again = crf(unary, image)
        monkeypatch.setenv("CRFRNN_GPU", "torch")
        wanted = crf(unary, image)
    assert torch.equal(got, again)
    torch.testing.assert_close(got, wanted, rtol=1e-9, atol=1e-9)


def test_gradients_are_those_of_plain_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    crf, unary, image = problem(3)
    unary.requires_grad_()
    image.requires_grad_()

    def gradients() -> tuple[Tensor, ...]:
        inputs = [unary, image, *(p for p in crf.parameters() if p.requires_grad)]
        return torch.autograd.grad(crf(unary, image).tanh().sum(), inputs, allow_unused=True)

    with native.disabled():
        got = gradients()
        monkeypatch.setenv("CRFRNN_GPU", "torch")
        wanted = gradients()
    for ours, theirs in zip(got, wanted, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-8, atol=1e-8)


def test_a_hot_vertex_is_cut_into_parts() -> None:
    """200 points at one place: more than a program sums at once."""
    features = torch.zeros(1, 200, 2, dtype=torch.float64)
    features[0, 190:] = torch.randn(10, 2, dtype=torch.float64)
    values = torch.randn(1, 200, 3, dtype=torch.float64)
    with native.disabled():
        lattice = Lattice.build(features)
        tables = lattice.tables
        got = operators.splat(tables, values[0], lattice.weights)  # type: ignore[arg-type]
    wanted = torch.zeros_like(got)
    for corner in range(3):
        wanted.index_add_(0, tables.slice_index[:, corner].long(), lattice.weights[:, corner, None] * values[0])
    torch.testing.assert_close(got, wanted)
