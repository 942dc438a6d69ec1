"""The fused mean field against dense matrices and against the loop in plain torch."""

from collections.abc import Callable, Iterator
from functools import cache

import pytest
import torch
from einops import rearrange
from torch import Tensor

from crfrnn import CRFRNN, appearance_kernel, native, smoothness_kernel
from crfrnn.fused import compiled as fused_operators
from crfrnn.fused.mean_field import label_matrices, mean_field
from tests.dense_meanfield import dense_features, dense_meanfield, dense_normalized
from tests.fused_problems import ALPHA, BETA, GAMMA, TOLERANCES, assert_close, count_runs, in_torch, layer, problem
from tests.lattice.yardsticks import dense_lattice, photo_features
from tests.threads import poisoned_memory, threads


@pytest.fixture(autouse=True)
def _poison() -> Iterator[None]:
    with poisoned_memory():
        yield


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    return count_runs(monkeypatch)


@cache
def dense_problem() -> tuple[Tensor, Tensor, list[list[Tensor]]]:
    """Unaries and three images, and the lattice of the paper as a dense matrix by image and kernel."""
    unary, image = problem(4, batch=3)
    image = image / 2
    features = [[dense_features(each, GAMMA), dense_features(each, ALPHA, BETA)] for each in image]
    return unary, image, [[dense_lattice(each) for each in pair] for pair in features]


@pytest.mark.parametrize("dtype", TOLERANCES)
@pytest.mark.parametrize("compatibility", ["potts", "rows", "columns", "free"])
@pytest.mark.parametrize("form", ["scalar", "diagonal", "matrix"])
@pytest.mark.parametrize("normalization", ["after", "before", "symmetric", "none"])
def test_equals_dense_mean_field(
    normalization: str, form: str, compatibility: str, dtype: torch.dtype, runs: list[int]
) -> None:
    unary, image, dense = dense_problem()
    crf = layer(4, compatibility, form, normalization)
    weights = [each if each.ndim == 2 else torch.diag(each.expand(4)) for each in crf.cell.kernel_weights.detach()]
    mu = crf.cell.compatibility.detach().clone()
    crf.to(dtype)
    for iterations in (1, 2, 10):
        wanted = []
        for picture, matrices in zip(unary, dense, strict=True):
            kernels = [dense_normalized(each, normalization, False) for each in matrices]
            logits = dense_meanfield(rearrange(picture, "l h w -> (h w) l"), kernels, weights, mu, iterations)
            wanted.append(rearrange(logits, "(h w) l -> l h w", h=5))
        got = crf(unary.to(dtype), image.to(dtype), iterations).detach()
        assert_close(got, torch.stack(wanted).to(dtype))
    assert len(runs) == 3


@pytest.mark.parametrize("dtype", TOLERANCES)
@pytest.mark.parametrize("compatibility", ["potts", "free"])
@pytest.mark.parametrize("labels", [2, 3, 8, 9, 21])
def test_any_number_of_labels_and_threads(labels: int, compatibility: str, dtype: torch.dtype, runs: list[int]) -> None:
    crf = layer(labels, compatibility, "diagonal").to(dtype).requires_grad_(False)
    unary, image = problem(labels, batch=3, height=7, width=9, dtype=dtype)
    wanted = in_torch(crf, unary, image)
    for count in (1, 2, 7):
        with threads(count):
            assert_close(crf(unary, image), wanted)
    assert len(runs) == 3


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 2), (1, 17), (17, 1), (2, 2), (1, 130), (130, 1)])
def test_awkward_shapes(height: int, width: int, runs: list[int]) -> None:
    """Also of a unary that is not laid out as it is read, and longer than the tiles in which pixels are taken."""
    crf = layer(3, "free").requires_grad_(False)
    unary, image = problem(3, batch=2, height=height, width=width)
    sparse, cut = torch.stack([unary, unary], -1)[..., 0], torch.cat([unary, unary], 3)[..., :width]
    wanted = in_torch(crf, unary, image)
    for count in (1, 3):
        with threads(count):
            assert_close(crf(unary, image), wanted)
            assert_close(crf(sparse, image), wanted)
            assert_close(crf(cut, image), wanted)
            assert_close(crf(unary.contiguous(memory_format=torch.channels_last), image), wanted)
    assert len(runs) == 8


def expanded(unary: Tensor) -> Tensor:
    return unary[:, :, :1, :1].expand(unary.shape)


LAYOUTS: dict[str, Callable[[Tensor], Tensor]] = {
    "channels last": lambda u: u.contiguous(memory_format=torch.channels_last),
    "transposed": lambda u: u.mT.contiguous().mT,
    "labels first": lambda u: u.transpose(0, 1).contiguous().transpose(0, 1),
    "one pixel for all": expanded,
    "one row for all": lambda u: u[:, :, :1].expand(u.shape),
    "one column for all": lambda u: u[..., :1].expand(u.shape),
    "one image for all": lambda u: u[:1].expand(u.shape),
    "one label for all": lambda u: u[:, :1].expand(u.shape),
    "cut out": lambda u: torch.nn.functional.pad(u, (2, 3, 1, 1, 1, 2, 1, 0))[1:, 1:-2, 1:-1, 2:-3],
    "every other": lambda u: u.repeat_interleave(2, 2).repeat_interleave(2, 3)[:, :, ::2, ::2],
    "flipped twice": lambda u: u.flip(3).flip(3),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_layout_of_the_unary_does_not_matter(name: str, runs: list[int]) -> None:
    crf = layer(5).requires_grad_(False)
    unary, image = problem(5, batch=2)
    laid_out = LAYOUTS[name](unary)
    plain = laid_out.clone(memory_format=torch.contiguous_format)
    assert torch.equal(crf(laid_out, image), crf(plain, image))
    assert_close(crf(laid_out, image), in_torch(crf, plain, image))
    assert len(runs) == 3


@pytest.mark.parametrize(("position", "color"), [(80, 13), (160, 3)])
def test_a_photo_in_float32(position: float, color: float, runs: list[int]) -> None:
    """CRF-RNN's bandwidths and others, 21 labels, 10 iterations: both backends find the same simplices."""
    features = photo_features(45, 60, position, color)
    image = rearrange(features[..., 2:] * color, "b (h w) c -> b c h w", h=45).round().float()
    unary = 3 * torch.randn(1, 21, 45, 60)
    crf = CRFRNN(21, [smoothness_kernel(3, 3), appearance_kernel(position, color, 5)], 10).requires_grad_(False)
    wanted = in_torch(crf, unary, image)
    for count in (1, 3):
        with threads(count):
            assert_close(crf(unary, image), wanted)
    assert len(runs) == 2


@pytest.mark.parametrize("tolerance", [0.0, 1e-5, 1e-3, 1e-2, 0.3, 1.0])
@pytest.mark.parametrize("limit", [1, 3, 40])
def test_tolerance_stops_where_the_loop_does(tolerance: float, limit: int, runs: list[int]) -> None:
    """Two images, of which one is nearly settled from the start: all go on until the last one stands still."""
    crf = layer(4).requires_grad_(False)
    unary, image = problem(4, batch=2)
    unary[0] *= 8
    with native.disabled():
        states = list(crf.iterate(unary, image, limit))
    still = [state for state in states if bool((state.residual() <= tolerance).all())]
    wanted = (still or states[-1:])[0]
    with threads(2):
        got = crf(unary, image, limit, tolerance=tolerance)
    distances = [(state.logits - got).abs().max().item() for state in states[1:]]
    assert min(distances) == distances[wanted.iteration - 1] or tolerance == 0
    assert_close(got, wanted.logits)
    assert len(runs) == 1


@pytest.mark.parametrize("dtype", TOLERANCES)
@pytest.mark.parametrize("extreme", [80.0, 1e4, 1e30, torch.finfo(torch.float32).max])
def test_huge_logits(extreme: float, dtype: torch.dtype, runs: list[int]) -> None:
    """Some labels are certain, some impossible, and at one pixel all are equally unlikely."""
    crf = layer(3, "free").to(dtype).requires_grad_(False)
    unary, image = problem(3, batch=2, dtype=dtype)
    unary[0, 1, :2] = extreme
    unary[1, :2, 3] = -extreme
    unary[0, :, 4, 4] = -extreme
    got, wanted = crf(unary, image), in_torch(crf, unary, image)
    extremes = wanted.abs() > 0.5 * extreme
    torch.testing.assert_close(got[extremes], wanted[extremes], rtol=1e-6, atol=1e-3)
    assert_close(got[~extremes], wanted[~extremes])
    assert runs


def test_impossible_labels_are_as_if_they_were_not_there() -> None:
    """-inf, which the layer refuses but the function below it takes."""
    crf = layer(4, "free", "matrix").requires_grad_(False)
    unary, image = problem(4, batch=2)
    unary[:, 2] = -torch.inf
    others = [0, 1, 3]
    kernels = crf.build_kernels({"image": image}, unary)
    matrices = label_matrices(crf.cell.compatibility, crf.cell.kernel_weights)
    out = mean_field(unary, kernels, matrices, 4)
    wanted = mean_field(unary[:, others], kernels, matrices[:, others][:, :, others], 4)
    assert out[:, 2].isneginf().all()
    assert_close(out[:, others], wanted)
    with pytest.raises(ValueError, match="not finite"):
        crf(unary, image)


@pytest.mark.parametrize("dtype", TOLERANCES)
@pytest.mark.parametrize("labels", [2, 3, 8, 9, 21])
def test_padding_has_no_belief(labels: int, dtype: torch.dtype) -> None:
    crf = layer(labels).to(dtype).requires_grad_(False)
    unary, image = problem(labels, batch=2, dtype=dtype)
    unary[0, :, 0, 0] = torch.finfo(torch.float32).min
    kernels = crf.build_kernels({"image": image}, unary)
    matrices = label_matrices(crf.cell.compatibility, crf.cell.kernel_weights)
    segments = [0, *(segment.stop for segment in kernels.stack.segments)]
    weights = (kernels.splat_weights, kernels.slice_weights)
    tables = kernels.stack.tables.as_list()
    _, beliefs, blurred = fused_operators.all_iterations(
        unary, unary, None, matrices, *weights, tables, segments, 3, -1.0, True
    )
    for each in beliefs:
        assert torch.all(each[:, labels:] == 0)
        torch.testing.assert_close(each.sum(1), torch.ones(60, dtype=dtype))
    assert all(torch.all(each[:, labels:] == 0) for each in blurred)
    start = rearrange(unary.softmax(1), "b l h w -> (b h w) l")
    torch.testing.assert_close(beliefs[0][:, :labels], start, rtol=1e-6, atol=1e-7)
