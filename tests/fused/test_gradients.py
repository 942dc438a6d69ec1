"""Derivatives of the fused mean field, and the layers that have to do without it."""

from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor

from crfrnn import CRFRNN, native
from crfrnn.fused import compiled as fused_operators
from crfrnn.fused.mean_field import label_matrices
from tests.fused_problems import KERNELS, TOLERANCES, assert_close, count_runs, in_torch, layer, problem
from tests.threads import poisoned_memory, threads


@pytest.fixture(autouse=True)
def _poison() -> Iterator[None]:
    with poisoned_memory():
        yield


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    return count_runs(monkeypatch)


@pytest.mark.parametrize(
    ("normalization", "form", "compatibility", "iterations"),
    [
        ("after", "scalar", "potts", 1),
        ("after", "scalar", "rows", 3),
        ("before", "diagonal", "columns", 2),
        ("symmetric", "matrix", "free", 2),
        ("none", "diagonal", "potts", 2),
    ],
)
def test_finite_differences(
    normalization: str, form: str, compatibility: str, iterations: int, runs: list[int]
) -> None:
    crf = layer(3, compatibility, form, normalization)
    unary, image = problem(3, batch=2, height=2, width=3)
    names = ["cell.kernel_weights", "cell.compatibility"]
    values = [crf.get_parameter(name) for name in names]

    def run(u: Tensor, *values: Tensor) -> Tensor:
        return torch.func.functional_call(crf, dict(zip(names, values, strict=True)), (u, image, iterations))

    assert torch.autograd.gradcheck(run, (unary.requires_grad_(), *values))
    assert runs


def gradients(crf: CRFRNN, unary: Tensor, run: Callable[[Tensor], Tensor], weight: Tensor) -> dict[str, Tensor]:
    """The gradients of <logits, weight> to all that requires one, and the logits."""
    leaf = unary.detach().requires_grad_(unary.requires_grad)
    crf.zero_grad()
    out = run(leaf)
    (out * weight).sum().backward()
    wanted = {"unary": leaf, **dict(crf.named_parameters())}
    found = {name: each.grad.clone() for name, each in wanted.items() if each.requires_grad}
    return {"logits": out.detach(), **found}


def assert_gradients_equal(
    crf: CRFRNN, unary: Tensor, image: Tensor, weight: Tensor | None = None, **options: object
) -> None:
    weight = torch.randn_like(unary) if weight is None else weight
    wanted = gradients(crf, unary, lambda u: in_torch(crf, u, image, **options), weight)
    for count in (1, 3):
        with threads(count):
            got = gradients(crf, unary, lambda u: crf(u, image, **options), weight)
        assert got.keys() == wanted.keys()
        for name in wanted:
            assert_close(got[name], wanted[name], name)


@pytest.mark.parametrize("dtype", TOLERANCES)
@pytest.mark.parametrize(("form", "compatibility"), [("scalar", "potts"), ("diagonal", "rows"), ("matrix", "free")])
@pytest.mark.parametrize("labels", [2, 3, 8, 9, 21])
def test_equal_those_of_plain_torch(
    labels: int, form: str, compatibility: str, dtype: torch.dtype, runs: list[int]
) -> None:
    crf = layer(labels, compatibility, form, "symmetric").to(dtype)
    unary, image = problem(labels, batch=3, height=7, width=9, dtype=dtype)
    assert_gradients_equal(crf, unary.requires_grad_(), image)
    assert len(runs) == 2


def test_only_where_they_are_wanted(runs: list[int]) -> None:
    crf = layer(4)
    unary, image = problem(4, batch=2)
    for wanted in (["unary"], ["kernel_weights"], ["compatibility"], ["unary", "compatibility"]):
        crf.cell.kernel_weights.requires_grad_("kernel_weights" in wanted)
        crf.cell.compatibility.requires_grad_("compatibility" in wanted)
        assert_gradients_equal(crf, unary.detach().requires_grad_("unary" in wanted), image)
    assert len(runs) == 8


def test_layout_of_what_comes_back_does_not_matter(runs: list[int]) -> None:
    crf = layer(4, "free")
    unary, image = problem(4, batch=2)
    unary.requires_grad_()
    weight = torch.randn_like(unary)
    layouts = [
        weight.contiguous(memory_format=torch.channels_last),
        weight[:, :, :1, :1].expand(weight.shape),
        weight.repeat_interleave(2, 3)[..., ::2],
        weight.mT.contiguous().mT,
    ]
    for each in layouts:
        assert_gradients_equal(crf, unary, image, each)
    assert len(runs) == 2 * len(layouts)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 70), (70, 1)])
def test_awkward_shapes(height: int, width: int, runs: list[int]) -> None:
    unary, image = problem(3, batch=2, height=height, width=width)
    unary = unary.contiguous(memory_format=torch.channels_last).requires_grad_()
    assert_gradients_equal(layer(3, "free"), unary, image)
    assert len(runs) == 2


def test_a_unary_expanded_over_the_pixels() -> None:
    crf, (unary, image) = layer(3), problem(3)
    small = unary[:, :, :1, :1].clone().requires_grad_()
    (wanted,) = torch.autograd.grad(in_torch(crf, small.expand_as(unary), image).square().sum(), small)
    (got,) = torch.autograd.grad(crf(small.expand_as(unary), image).square().sum(), small)
    assert_close(got, wanted)


def test_backward_twice_and_on_another_number_of_threads() -> None:
    crf, (unary, image) = layer(4, "free"), problem(4, batch=2)
    unary.requires_grad_()
    leaves = (unary, crf.cell.kernel_weights, crf.cell.compatibility)
    with threads(2):
        loss = crf(unary, image).square().sum()
        first, second = (torch.autograd.grad(loss, leaves, retain_graph=True) for _ in range(2))
    assert all(torch.equal(left, right) for left, right in zip(first, second, strict=True))
    for count in (1, 3, 7):
        with threads(count):
            again = torch.autograd.grad(loss, leaves, retain_graph=True)
        for left, right in zip(again, first, strict=True):
            assert_close(left, right)


def test_double_backward_says_that_there_is_none() -> None:
    crf, (unary, image) = layer(3), problem(3)
    unary.requires_grad_()
    (slope,) = torch.autograd.grad(crf(unary, image).square().sum(), unary, create_graph=True)
    with pytest.raises(RuntimeError, match=r"once, not twice.*native\.disabled\(\)"):
        slope.sum().backward()
    with native.disabled():
        (slope,) = torch.autograd.grad(crf(unary, image).square().sum(), unary, create_graph=True)
        slope.sum().backward()
    assert unary.grad is not None


@pytest.mark.parametrize("option", ["exclude_self", "tolerance", "min_belief", "exact"])
def test_layers_that_do_without_it(option: str, runs: list[int]) -> None:
    """What needs more than the fused code knows still has right logits and gradients."""
    settings = {"filter": "exact"} if option == "exact" else {option: 0.2 if option == "min_belief" else True}
    crf = CRFRNN(4, KERNELS, **(settings if option != "tolerance" else {})).double()
    unary, image = problem(4, batch=2)
    unary[:, 0] -= 8
    calls = {"tolerance": 1e-2} if option == "tolerance" else {}
    assert_gradients_equal(crf, unary.requires_grad_(), image, **calls)
    assert runs == []


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_without_gradients_every_option_but_two_at_once(mode: Callable[[], object], runs: list[int]) -> None:
    crf = CRFRNN(4, KERNELS, learn_bandwidths=True, min_belief=0.2).double()
    plain = CRFRNN(4, KERNELS).double()
    unary, image = problem(4, batch=2)
    unary[:, 0] -= 8
    unary.requires_grad_()
    with mode():
        assert_close(crf(unary, image), in_torch(crf, unary, image))
        assert_close(plain(unary, image, tolerance=1e-2), in_torch(plain, unary, image, tolerance=1e-2))
        assert len(runs) == 2
        assert_close(crf(unary, image, tolerance=1e-2), in_torch(crf, unary, image, tolerance=1e-2))
    assert len(runs) == 2


def test_torch_accepts_the_operators() -> None:
    crf, (unary, image) = layer(3), problem(3, height=2, width=3)
    kernels = crf.build_kernels({"image": image}, unary)
    matrices = label_matrices(crf.cell.compatibility, crf.cell.kernel_weights).detach()
    segments = [0, *(segment.stop for segment in kernels.stack.segments)]
    fixed = (kernels.splat_weights, kernels.slice_weights, kernels.stack.tables.as_list(), segments)
    forward = torch.ops.crfrnn.mean_field.default
    leaves = unary.clone().requires_grad_(), matrices.clone().requires_grad_()
    torch.library.opcheck(forward, (leaves[0], leaves[0], None, leaves[1], *fixed, 2, -1.0, True))
    labels = torch.tensor([0, 2])
    torch.library.opcheck(forward, (unary, unary[:, labels], labels, matrices, *fixed, 2, -1.0, False))
    _, beliefs, blurred = fused_operators.all_iterations(unary, unary, None, matrices, *fixed, 2, -1.0, True)
    torch.library.opcheck(
        torch.ops.crfrnn.mean_field_backward.default,
        (torch.randn_like(unary), matrices, *fixed, beliefs, blurred, True, True),
    )
