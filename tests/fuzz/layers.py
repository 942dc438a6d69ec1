"""The layer: compiled equals plain torch, a batch its images, one run the next; what comes out is finite and in bounds."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from hypothesis import strategies as st
from torch import Tensor

from crfrnn import CRFRNN, Kernel, native
from tests.fuzz.property import REFUSED, RIGHT, Property, answer_or_refusal

DTYPES = st.sampled_from([torch.float32, torch.float64])
SIDES = st.integers(1, 7)


class Case(NamedTuple):
    settings: dict[str, Any]
    kernels: list[dict[str, Any]]
    shape: tuple[int, int, int, int]  # batch, labels, height, width
    channels: int
    dtype: torch.dtype
    spread: float  # of the logits
    image: str
    scale: float  # of the image
    iterations: int
    tolerance: float | None
    transposed: bool
    seed: int


def exponents(low: float, high: float) -> st.SearchStrategy[float]:
    """Numbers from 10^low to 10^high, evenly over their exponents."""
    return st.floats(low, high).map(lambda exponent: float(10**exponent))


def kernels(exponent: float) -> st.SearchStrategy[dict[str, Any]]:
    """Arguments of kernels whose bandwidths reach from 10^-exponent to 10^exponent."""
    theta, weight = exponents(-exponent, exponent), st.floats(-20, 20)
    return st.one_of(
        st.fixed_dictionaries({"weight": weight, "theta_position": theta}),
        st.fixed_dictionaries({"weight": weight, "theta_position": theta, "theta_guide": theta, "guide": st.just("image")}),
        st.fixed_dictionaries({"weight": weight, "theta_guide": theta, "guide": st.just("image")}),
        st.fixed_dictionaries(
            {"weight": weight, "theta_guide": theta, "guide": st.just("image"), "neighbors": st.sampled_from([4, 8])}
        ),
    )  # fmt: skip


def cases(exponent: float, spread: float, scale: float) -> st.SearchStrategy[Case]:
    return st.builds(
        Case,
        settings=st.fixed_dictionaries(
            {
                "normalization": st.sampled_from(["after", "before", "symmetric", "none"]),
                "kernel_weights": st.sampled_from(["scalar", "diagonal", "matrix"]),
                "exclude_self": st.booleans(),
                "dilate": st.booleans(),
                "filter": st.sampled_from(["lattice", "lattice", "exact"]),
                "min_belief": st.sampled_from([0.0, 0.0, 1e-3, 0.15]),
                "message_tolerance": st.sampled_from([0.0, 0.0, 1e-9, 0.1]),
                "learn_bandwidths": st.booleans(),
            }
        ),
        kernels=st.lists(kernels(exponent), min_size=1, max_size=3),
        shape=st.tuples(st.integers(1, 3), st.integers(2, 5), SIDES, SIDES),
        channels=st.integers(1, 4),
        dtype=DTYPES,
        spread=exponents(-3, spread),
        image=st.sampled_from(["noise", "constant", "steps", "gray levels"]),
        scale=exponents(-3, scale),
        iterations=st.integers(0, 4),
        tolerance=st.sampled_from([None, None, None, 0.0, 1e-3, 0.1]),
        transposed=st.booleans(),
        seed=st.integers(0, 2**31),
    )


def draw(case: Case) -> tuple[Tensor, Tensor]:
    """The unary and the image of a case."""
    source = torch.Generator().manual_seed(case.seed)
    batch, _, height, width = case.shape
    unary = case.spread * torch.randn(case.shape, generator=source, dtype=torch.float64)
    image = case.scale * torch.rand(batch, case.channels, height, width, generator=source, dtype=torch.float64)
    if case.image == "constant":
        image = image[..., :1, :1].expand(image.shape)
    elif case.image == "steps":
        image = (image * 3 / case.scale).floor() * case.scale / 3
    elif case.image == "gray levels":
        image = (image * 255 / case.scale).round()
    unary, image = unary.to(case.dtype), image.to(case.dtype)
    if case.transposed:
        unary = unary.permute(2, 3, 0, 1).contiguous().permute(2, 3, 0, 1)
    return unary, image


def build(case: Case) -> CRFRNN:
    crf = CRFRNN(case.shape[1], [Kernel(**kernel) for kernel in case.kernels], **case.settings)
    source = torch.Generator().manual_seed(case.seed)
    with torch.no_grad():
        for parameter in (crf.cell.kernel_weights, crf.cell.compatibility):
            parameter += 0.3 * torch.randn(parameter.shape, generator=source)
    return crf


def check(case: Case) -> str:
    unary, image = draw(case)
    kept = unary.clone(), image.clone()
    crf, refusal = answer_or_refusal(lambda: build(case))
    if refusal is not None:
        return REFUSED

    def run(u: Tensor = unary, i: Tensor = image) -> Tensor:
        with torch.no_grad():
            return crf(u, i, case.iterations, case.tolerance)

    out, refusal = answer_or_refusal(run)
    with native.disabled():
        plain, plain_refusal = answer_or_refusal(run)
    assert (refusal is None) == (plain_refusal is None), f"compiled: {refusal}; plain: {plain_refusal}"
    assert torch.equal(unary, kept[0]), "the unary was written to"
    assert torch.equal(image, kept[1]), "the image was written to"
    if refusal is not None:
        return REFUSED
    assert out.shape == unary.shape, f"{out.shape} for {unary.shape}"
    assert out.dtype == case.dtype, f"{out.dtype} for {case.dtype}"
    assert out.isfinite().all(), "not finite"
    assert torch.equal(out, run()), "two runs differ"
    check_bound(case, crf, unary, out)
    tolerance = (1e-3 if case.dtype == torch.float32 else 1e-7) * max(1, out.abs().max().item())
    if not chaotic(case, crf):
        torch.testing.assert_close(plain, out, rtol=0, atol=tolerance, msg=lambda text: f"compiled and plain: {text}")
        if case.tolerance is None:
            singles = torch.cat([run(unary[b : b + 1], image[b : b + 1]) for b in range(len(unary))])
            torch.testing.assert_close(
                singles, out, rtol=0, atol=tolerance, msg=lambda text: f"batch and singles: {text}"
            )
    return RIGHT


def strength(crf: CRFRNN) -> Tensor:
    """max over labels of sum |mu W_m|, over all kernels: no penalty is larger where kernels are divided by their sums."""
    weights = crf.cell.kernel_weights.detach().abs()
    if weights.ndim < 3:
        weights = torch.diag_embed(weights.expand(crf.num_labels, -1).T if weights.ndim == 1 else weights)
    return (crf.cell.compatibility.detach().abs() @ weights).sum(0).sum(1).max()


def check_bound(case: Case, crf: CRFRNN, unary: Tensor, out: Tensor) -> None:
    """Messages of kernels whose rows sum to 1 are mixtures of beliefs, which lie in 0..1."""
    if case.settings["normalization"] == "after" and case.iterations > 0:
        largest, bound = (out - unary).abs().max().item(), strength(crf).item()
        rounding = 1e-5 * (bound + unary.abs().max().item())
        assert largest <= bound + rounding, f"a penalty of {largest} where {bound} is the largest"


def chaotic(case: Case, crf: CRFRNN) -> bool:
    """Whether rounding may grow beyond bounds from iteration to iteration: strong penalties, or sums of unknown size."""
    return case.settings["normalization"] == "none" or strength(crf).item() > 3


def check_gradients(case: Case) -> str:
    """Gradients to everything are finite, and the same from compiled code as from plain torch."""
    unary, image = (tensor.requires_grad_() for tensor in draw(case))
    crf, refusal = answer_or_refusal(lambda: build(case).to(case.dtype))
    if refusal is not None:
        return REFUSED

    def run() -> tuple[Tensor, ...]:
        inputs = [unary, image, *(p for p in crf.parameters() if p.requires_grad)]
        logits = crf(unary, image, case.iterations)
        return torch.autograd.grad(logits.tanh().sum(), inputs, materialize_grads=True)

    got, refusal = answer_or_refusal(run)
    with native.disabled():
        plain, plain_refusal = answer_or_refusal(run)
    assert (refusal is None) == (plain_refusal is None), f"compiled: {refusal}; plain: {plain_refusal}"
    if refusal is not None:
        return REFUSED
    for one, other in zip(got, plain, strict=True):
        assert one.isfinite().all(), "a gradient is not finite"
        if not chaotic(case, crf):
            tolerance = (1e-2 if case.dtype == torch.float32 else 1e-6) * max(1, other.abs().max().item())
            torch.testing.assert_close(one, other, rtol=0, atol=tolerance)
    return RIGHT


PROPERTIES = [
    Property("layer", cases(exponent=2.5, spread=1, scale=2.5), check),
    Property("layer, extreme numbers", cases(exponent=35, spread=37, scale=38), check),
    Property("gradients", cases(exponent=2, spread=1, scale=2.5), check_gradients),
]
