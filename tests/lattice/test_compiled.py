"""The compiled lattice against the one in plain torch: threads, channels, layouts, derivatives, and torch's own checks."""

from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor

from crfrnn import native
from crfrnn.lattice import Lattice, LatticeStack, compiled_operators
from crfrnn.lattice.compiled import CompiledTables
from tests.lattice.conftest import build_in_torch
from tests.lattice.yardsticks import dense_lattice
from tests.threads import poisoned_memory, threads

TOLERANCES = {torch.float32: 1e-5, torch.float64: 1e-10}
THREADS = (1, 2, 3, 7)


@pytest.fixture(autouse=True)
def _poison() -> Iterator[None]:
    with poisoned_memory():
        yield


def cloud(batch: int, points: int, dimensions: int, dtype: torch.dtype = torch.float64) -> Tensor:
    """Features [B, N, D] with neighbors in every D; half of those of the first image lie where simplices meet."""
    features = torch.randn(batch, points, dimensions, dtype=dtype) * 2 / dimensions**0.5
    features[0, torch.rand(points, dimensions) < 0.5] = 0
    return features


def build_compiled(features: Tensor, dilate: bool = False) -> Lattice:
    lattice = Lattice.build(features, dilate=dilate)
    assert isinstance(lattice.tables, CompiledTables)
    return lattice


def results(lattice: Lattice, values: Tensor) -> dict[str, Tensor]:
    return {
        "filtered": lattice.filter(values),
        "adjoint": lattice.filter(values, transpose=True),
        "diagonal": lattice.diagonal(),
        "row sums": lattice.row_sums(),
    }


def assert_equal(got: dict[str, Tensor], wanted: dict[str, Tensor], dtype: torch.dtype) -> None:
    for name in wanted:
        bound = TOLERANCES[dtype] * max(1, wanted[name].abs().max().item())
        torch.testing.assert_close(got[name], wanted[name], rtol=0, atol=bound, msg=lambda text, n=name: f"{n}: {text}")


@pytest.mark.parametrize("dtype", TOLERANCES)
@pytest.mark.parametrize(
    ("dimensions", "dilate"), [*((d, False) for d in range(1, 9)), (1, True), (2, True), (4, True)]
)
def test_equals_plain_torch_on_any_number_of_threads(dimensions: int, dilate: bool, dtype: torch.dtype) -> None:
    features, values = cloud(3, 45, dimensions, dtype), torch.randn(3, 45, 4, dtype=dtype)
    wanted = results(build_in_torch(features, dilate=dilate), values)
    for count in THREADS:
        with threads(count):
            assert_equal(results(build_compiled(features, dilate), values), wanted, dtype)


@pytest.mark.parametrize("dtype", TOLERANCES)
@pytest.mark.parametrize("channels", [1, 7, 8, 9, 21, 33, 150])
def test_channels(channels: int, dtype: torch.dtype) -> None:
    """Whole vectors, one more, one less, and more than are held in registers at once."""
    features, values = cloud(2, 150, 5, dtype), torch.randn(2, 150, channels, dtype=dtype)
    wanted = results(build_in_torch(features), values)
    for count in (1, 3):
        with threads(count):
            assert_equal(results(build_compiled(features), values), wanted, dtype)


@pytest.mark.parametrize("count", [1, 3])
def test_more_vertices_than_pixels(count: int) -> None:
    """Noise: 100,000 vertices, which the tables of the build have to grow for."""
    features, values = torch.rand(1, 20000, 5) * 20, torch.randn(1, 20000, 3)
    with threads(count):
        lattice = build_compiled(features)
    assert lattice.num_vertices > 100000
    plain = build_in_torch(features)
    for transpose in (False, True):
        torch.testing.assert_close(
            lattice.filter(values, transpose), plain.filter(values, transpose), rtol=0, atol=1e-5
        )


@pytest.mark.parametrize("points", [1, 2, 5, 6, 8])
def test_fewer_points_than_threads(points: int) -> None:
    features, values = cloud(2, points, 3), torch.randn(2, points, 3, dtype=torch.float64)
    with threads(7):
        got = results(build_compiled(features), values)
        repeated = results(build_compiled(features[:1]).repeat(2), values)
    assert_equal(got, results(build_in_torch(features), values), torch.float64)
    assert_equal(repeated, results(build_in_torch(features[:1]).repeat(2), values), torch.float64)


def test_every_thread_has_points_of_its_own() -> None:
    """One chunk for each thread and image, and none where there are no points."""
    for count, points, chunks in ((1, 50, 3), (3, 50, 9), (7, 50, 21), (7, 4, 12)):
        with threads(count):
            starts = build_compiled(cloud(3, points, 2)).tables.chunk_start.tolist()
        assert len(starts) == chunks + 1
        assert starts[0] == 0
        assert starts[-1] == 3 * points


def test_a_lattice_serves_other_numbers_of_threads() -> None:
    features, values = cloud(2, 80, 3), torch.randn(2, 80, 3, dtype=torch.float64)
    wanted = results(build_in_torch(features), values)
    for built_for, used_by in ((1, 3), (3, 1), (2, 7)):
        with threads(built_for):
            lattice = build_compiled(features)
        with threads(used_by):
            assert_equal(results(lattice, values), wanted, torch.float64)


def test_two_runs_are_equal_bit_by_bit() -> None:
    features, values = cloud(2, 400, 5, torch.float32), torch.randn(2, 400, 21)
    with threads(3):
        first, second = (results(build_compiled(features), values) for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("offset", [1e10, -1e10])
def test_doubles_far_from_zero(offset: float) -> None:
    """Coordinates that need more than 32 bits. The paper's code rounds in another order, by 1e-6 at such a place."""
    features, values = cloud(2, 30, 2) + offset, torch.randn(2, 30, 3, dtype=torch.float64)
    out = build_compiled(features).filter(values)
    torch.testing.assert_close(out, build_in_torch(features).filter(values), rtol=0, atol=1e-10)
    torch.testing.assert_close(out[1], dense_lattice(features[1]) @ values[1], rtol=0, atol=1e-4)


def test_doubles_that_span_more_than_32_bits() -> None:
    features = torch.tensor([0.0, 0.3, 5e9, 5e9 + 0.3, -5e9], dtype=torch.float64).reshape(1, 5, 1)
    out = build_compiled(features).filter(torch.eye(5, dtype=torch.float64)[None])
    torch.testing.assert_close(out[0], dense_lattice(features[0]), rtol=0, atol=1e-5)


@pytest.mark.parametrize("dimensions", [1, 3, 5])
@pytest.mark.parametrize("dtype", TOLERANCES)
def test_gradients_equal_plain_torch(dimensions: int, dtype: torch.dtype) -> None:
    features, values = cloud(2, 60, dimensions, dtype), torch.randn(2, 60, 5, dtype=dtype)
    weight = torch.randn(2, 60, 5, dtype=dtype)

    def gradients(build: Callable[[Tensor], Lattice]) -> dict[str, Tensor]:
        leaves = features.clone().requires_grad_(), values.clone().requires_grad_()
        lattice = build(leaves[0])
        out = (lattice.filter(leaves[1]) * weight).sum() + lattice.diagonal().square().sum()
        (out + lattice.row_sums().square().sum()).backward()
        return {"features": leaves[0].grad, "values": leaves[1].grad}

    wanted = gradients(build_in_torch)
    for count in (1, 3):
        with threads(count):
            assert_equal(gradients(build_compiled), wanted, dtype)


def test_second_derivatives_equal_plain_torch() -> None:
    features, values = cloud(1, 20, 3), torch.randn(1, 20, 2, dtype=torch.float64)
    weight = torch.randn(1, 20, 2, dtype=torch.float64)

    def second(build: Callable[[Tensor], Lattice]) -> dict[str, Tensor]:
        leaves = [each.clone().requires_grad_() for each in (features, values)]
        out = build(leaves[0]).filter(leaves[1])
        first = torch.autograd.grad((out.square() * weight).sum(), leaves, create_graph=True)
        twice = torch.autograd.grad(sum(each.square().sum() for each in first), leaves)
        return dict(zip(("features", "values"), twice, strict=True))

    wanted = second(build_in_torch)
    for count in (1, 3):
        with threads(count):
            assert_equal(second(build_compiled), wanted, torch.float64)


def test_operators_take_rows_of_any_layout() -> None:
    lattice = build_compiled(cloud(1, 40, 3))
    tables, rows = lattice.tables.as_list(), lattice.num_vertices
    weights = lattice.weights.mT.contiguous().mT
    wide = torch.randn(rows, 8, dtype=torch.float64)
    layouts = {
        "columns first": torch.randn(5, rows, dtype=torch.float64).mT,
        "columns of wider rows": wide[:, 2:7],
        "the first columns of wider rows": wide[:, :5],
        "one row for all": torch.randn(1, 5, dtype=torch.float64).expand(rows, 5),
        "one column": torch.randn(1, rows, dtype=torch.float64).mT,
        "every other row": torch.randn(2 * rows, 5, dtype=torch.float64)[::2],
    }
    for name, vertices in layouts.items():
        plain = vertices.clone(memory_format=torch.contiguous_format)
        values = torch.randn(vertices.shape[1], 40, dtype=torch.float64).mT
        calls = [
            lambda v, u: compiled_operators.blur(v, tables, False),
            lambda v, u: compiled_operators.slice_(v, weights, tables),
            lambda v, u: compiled_operators.pair_products(v, u, tables),
            lambda v, u: compiled_operators.splat(u, weights, tables, rows),
        ]
        for call in calls:
            assert torch.equal(call(vertices, values), call(plain, values.contiguous())), name


def test_torch_accepts_the_operators() -> None:
    lattice = build_compiled(cloud(1, 6, 2))
    tables, rows = lattice.tables.as_list(), lattice.num_vertices
    values, vertices = (torch.randn(n, 5, dtype=torch.float64).requires_grad_() for n in (6, rows))
    weights = lattice.weights.clone().requires_grad_()
    torch.library.opcheck(torch.ops.crfrnn.splat.default, (values, weights, tables, rows))
    torch.library.opcheck(torch.ops.crfrnn.slice.default, (vertices, weights, tables))
    torch.library.opcheck(torch.ops.crfrnn.blur.default, (vertices, tables, True))
    torch.library.opcheck(torch.ops.crfrnn.pair_products.default, (vertices, values, tables))


def test_lattices_for_different_numbers_of_threads_do_not_stack() -> None:
    parts = []
    for count in (1, 2):
        with threads(count):
            parts.append(build_compiled(cloud(1, 20, 2)))
    with pytest.raises(ValueError, match=r"numbers of threads.*torch\.set_num_threads"):
        LatticeStack(parts)


def test_a_compiled_lattice_needs_compiled_code() -> None:
    lattice = build_compiled(cloud(1, 20, 2))
    with native.disabled(), pytest.raises(RuntimeError, match=r"built by compiled code.*native\.disabled\(\)"):
        lattice.filter(torch.ones(1, 20, 1, dtype=torch.float64))
