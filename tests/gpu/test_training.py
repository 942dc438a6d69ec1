"""Gradients of the fused loop in Triton against autograd through the loop in plain torch."""

import pytest
import torch
from torch import Tensor

from crfrnn import CRFRNN, gpu, native
from tests.fused_problems import KERNELS, assert_close, layer, problem

pytestmark = pytest.mark.skipif(
    not gpu.runs(torch.empty(0)),
    reason="2026-11-26: needs a GPU, or Triton and TRITON_INTERPRET=1; .ci/gpu runs these",
)


def gradients(crf: CRFRNN, unary: Tensor, image: Tensor, **options: object) -> list[Tensor | None]:
    unary = unary.clone().requires_grad_()
    wanted = [unary, *(parameter for parameter in crf.parameters() if parameter.requires_grad)]
    with native.disabled():
        logits = crf(unary, image, **options)
        return [logits.detach(), *torch.autograd.grad(logits.tanh().sum(), wanted)]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float", "double"])
@pytest.mark.parametrize(
    ("labels", "batch", "normalization", "form", "iterations"),
    [
        (2, 1, "after", "scalar", 1),
        (5, 3, "before", "diagonal", 3),
        (21, 2, "symmetric", "matrix", 5),
        (33, 1, "none", "scalar", 2),
    ],
)
def test_gradients_are_those_of_plain_torch(
    labels: int, batch: int, normalization: str, form: str, iterations: int, dtype: torch.dtype,
    runs: list[int], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    crf = layer(labels, "free", form, normalization).to(dtype)
    unary, image = problem(labels, batch, dtype=dtype)
    image[..., :3] = image[..., :1, :1]  # a flat sky
    got = gradients(crf, unary, image, num_iterations=iterations)
    assert len(runs) == 1
    again = gradients(crf, unary, image, num_iterations=iterations)
    assert all(torch.equal(one, other) for one, other in zip(got, again, strict=True))
    monkeypatch.setenv("CRFRNN_GPU", "torch")
    wanted = gradients(crf, unary, image, num_iterations=iterations)
    assert len(runs) == 2
    for ours, theirs in zip(got, wanted, strict=True):
        assert_close(ours, theirs)


def test_a_frozen_layer_passes_gradients_on(runs: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """Then nothing is kept for label matrices; and a layer over a fixed unary learns alone."""
    crf = layer(3).requires_grad_(False)
    unary, image = problem(3)
    got = gradients(crf, unary, image)
    crf.cell.kernel_weights.requires_grad_(True)
    with native.disabled():
        alone = torch.autograd.grad(crf(unary, image).tanh().sum(), crf.cell.kernel_weights)[0]
    monkeypatch.setenv("CRFRNN_GPU", "torch")
    assert len(runs) == 2
    wanted = gradients(crf, unary, image)
    for ours, theirs in zip([*got, alone], wanted, strict=True):
        assert_close(ours, theirs)


@pytest.mark.parametrize(
    ("normalization", "frozen", "dtype"),
    [
        ("after", False, torch.float32),
        ("before", True, torch.float64),
        ("symmetric", False, torch.float64),
        ("none", True, torch.float32),
    ],
)
def test_bandwidths_and_image_learn(
    normalization: str, frozen: bool, dtype: torch.dtype, runs: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In one run, against autograd through the plain loop in float64: two runs are equal in every bit."""
    crf = CRFRNN(3, KERNELS, 2, normalization=normalization, learn_bandwidths=True).double()  # type: ignore[arg-type]
    with torch.no_grad():
        crf.cell.kernel_weights *= 0.1 if normalization == "none" else 1
    crf.cell.requires_grad_(not frozen)
    inputs = problem(3, 2)

    def found(real: torch.dtype) -> list[Tensor]:
        # The same numbers in both types: bandwidths are exact in float32, the lattice has no pixel between simplices.
        far = [each.float().to(real).requires_grad_() for each in inputs]
        layer = crf.to(real)
        learned = [parameter for parameter in layer.parameters() if parameter.requires_grad]
        with native.disabled():
            logits = layer(*far)
            return [logits.detach(), *torch.autograd.grad(logits.tanh().sum(), [*far, *learned])]

    got, again = found(dtype), found(dtype)
    assert len(runs) == 2
    assert all(torch.equal(one, other) for one, other in zip(got, again, strict=True))
    monkeypatch.setenv("CRFRNN_GPU", "torch")
    for ours, theirs in zip(got, found(torch.float64), strict=True):
        bound = (2e-4 if dtype == torch.float32 else 1e-9) * max(1, theirs.abs().max().item())
        torch.testing.assert_close(ours.double(), theirs, rtol=0, atol=bound)


def test_second_derivatives_are_refused() -> None:
    crf, (unary, image) = layer(2), problem(2)
    unary.requires_grad_()
    with native.disabled():
        slope = torch.autograd.grad(crf(unary, image).tanh().sum(), unary, create_graph=True)[0]
    with pytest.raises(RuntimeError, match=r"once, not twice.*CRFRNN_GPU=torch"):
        slope.square().sum().backward()
