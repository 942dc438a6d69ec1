"""Derivatives of the fused mean field to splat and slice weights: to bandwidths, image and features."""

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from crfrnn import CRFRNN, feature_kernel, native
from tests.fused_problems import KERNELS, TOLERANCES, problem
from tests.threads import poisoned_memory, threads

WITH_FEATURES = (*KERNELS, feature_kernel("depth", theta=0.5, weight=0.5, theta_position=5.3125))
NORMALIZATIONS = ["after", "before", "symmetric", "none"]


@pytest.fixture(autouse=True)
def _poison() -> Iterator[None]:
    with poisoned_memory():
        yield


def layer(labels: int, normalization: str = "after") -> CRFRNN:
    """One that learns everything, in float64, with penalties of no structure."""
    compatibility = torch.randn(labels, labels)
    crf = CRFRNN(labels, WITH_FEATURES, 3, normalization, compatibility=compatibility, learn_bandwidths=True).double()
    with torch.no_grad():
        crf.cell.kernel_weights *= 0.1 if normalization == "none" else 1
    return crf


def inputs(labels: int, dtype: torch.dtype = torch.float64, **size: int) -> dict[str, Tensor]:
    unary, image = problem(labels, dtype=dtype, **size)
    return {"unary": unary, "image": image, "depth": torch.rand_like(image[:, :1])}


def call(crf: CRFRNN, given: dict[str, Tensor], **options: object) -> Tensor:
    return crf(given["unary"], given["image"], features={"depth": given["depth"]}, **options)


def assert_close(got: Tensor, wanted: Tensor, name: str) -> None:
    """Bandwidths get a sum over all pixels, in which much cancels."""
    bound = 10 * TOLERANCES[wanted.dtype] * max(1, wanted.abs().max().item())
    torch.testing.assert_close(got, wanted, rtol=0, atol=bound, msg=lambda text: f"{name}: {text}")


def gradients(crf: CRFRNN, given: dict[str, Tensor], direction: Tensor, **options: object) -> dict[str, Tensor]:
    """Those of <logits, direction> by the name of what they are to, and the logits."""
    leaves = {name: each.clone().requires_grad_() for name, each in given.items()}
    sources = {**leaves, **{name: each for name, each in crf.named_parameters() if each.requires_grad}}
    logits = call(crf, leaves, **options)
    found = torch.autograd.grad((logits * direction).sum(), list(sources.values()))
    return {"logits": logits.detach(), **dict(zip(sources, found, strict=True))}


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
def test_finite_differences(normalization: str, runs: list[int]) -> None:
    crf = layer(3, normalization)
    given = inputs(3, height=2, width=3)
    parameters = dict(crf.named_parameters())
    assert sum(name.startswith("log_bandwidth_scales") for name in parameters) == 3

    def run(*values: Tensor) -> Tensor:
        state = dict(zip(parameters, values[3:], strict=True))
        arguments = (*values[:2], 2, None, {"depth": values[2]})
        return torch.func.functional_call(crf, state, arguments)

    leaves = [each.detach().clone().requires_grad_() for each in (*given.values(), *parameters.values())]
    assert torch.autograd.gradcheck(run, leaves)
    assert runs


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
@pytest.mark.parametrize(
    ("labels", "dtype"), [(2, torch.float32), (4, torch.float64), (9, torch.float32), (30, torch.float32)]
)
def test_equal_those_of_plain_torch(labels: int, dtype: torch.dtype, normalization: str, runs: list[int]) -> None:
    """Half a vector of labels, one vector, several, and more than are held in registers at once."""
    crf = layer(labels, normalization).to(dtype)
    given = inputs(labels, dtype, batch=3, height=7, width=9)
    direction = torch.randn_like(given["unary"])
    with native.disabled():
        wanted = gradients(crf, given, direction)
    assert runs == []
    for count in (1, 3):
        with threads(count):
            got = gradients(crf, given, direction)
            again = gradients(crf, given, direction)
        for name, each in wanted.items():
            assert each.abs().max() > 0, name
            assert_close(got[name], each, name)
            assert torch.equal(got[name], again[name]), name
    assert len(runs) == 4


def test_a_single_iteration(runs: list[int]) -> None:
    crf, given = layer(4), inputs(4, height=1, width=40)
    direction = torch.randn_like(given["unary"])
    with native.disabled():
        wanted = gradients(crf, given, direction, num_iterations=1)
    got = gradients(crf, given, direction, num_iterations=1)
    for name, each in wanted.items():
        assert_close(got[name], each, name)
    assert runs == [1]


def test_only_to_what_wants_them(runs: list[int]) -> None:
    """The bandwidths alone, in a layer whose every other parameter is frozen; and then with an option, one by one."""
    crf, given = layer(4), inputs(4, batch=2)
    crf.cell.requires_grad_(False)
    given["unary"][:, 0] -= 8
    scales = list(crf.log_bandwidth_scales)

    def both(**options: object) -> None:
        with native.disabled():
            wanted = torch.autograd.grad(call(crf, given, **options).square().sum(), scales)
        got = torch.autograd.grad(call(crf, given, **options).square().sum(), scales)
        for left, right in zip(got, wanted, strict=True):
            assert_close(left, right, "bandwidths")

    both()
    assert runs == [1]
    both(tolerance=1e-2)
    crf.min_belief = 0.2
    both()
    assert runs == [1]
