"""Losses: within their bounds and differentiable, whatever the images; the sum over all pairs where kernels are exact."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from hypothesis import strategies as st

from crfrnn import Kernel
from crfrnn.losses import dense_crf_loss, energy_gated_loss, normalized_cut_loss, rloss, windowed_crf_loss
from tests.fuzz.layers import DTYPES, SIDES, exponents, kernels
from tests.fuzz.property import REFUSED, RIGHT, Property, answer_or_refusal
from tests.losses.dense import cut, dense_matrix


class Case(NamedTuple):
    loss: str
    kernels: list[dict[str, Any]]
    shape: tuple[int, int, int, int]  # batch, labels, height, width
    dtype: torch.dtype
    spread: float  # of the logits
    scale: float  # of the image
    even: bool  # one color
    share: float  # of the pixels in the mask
    normalization: str
    filter: str
    size: float  # what rloss scales the image by
    seed: int


CASES = st.builds(
    Case,
    loss=st.sampled_from(["dense", "dense", "cut", "windowed", "rloss", "gated"]),
    kernels=st.lists(kernels(3), min_size=1, max_size=2),
    shape=st.tuples(st.integers(1, 2), st.integers(2, 4), SIDES, SIDES),
    dtype=DTYPES,
    spread=exponents(-3, 3),
    scale=exponents(-3, 5),
    even=st.booleans(),
    share=st.sampled_from([0.0, 0.5, 1.0]),
    normalization=st.sampled_from(["after", "before", "symmetric", "none"]),
    filter=st.sampled_from(["lattice", "exact"]),
    size=st.floats(0.01, 1),
    seed=st.integers(0, 2**31),
)


def check(case: Case) -> str:
    source = torch.Generator().manual_seed(case.seed)
    batch, labels, height, width = case.shape
    logits = (
        (case.spread * torch.randn(case.shape, generator=source, dtype=torch.float64)).to(case.dtype).requires_grad_()
    )
    image = case.scale * torch.rand(batch, 3, height, width, generator=source, dtype=torch.float64).to(case.dtype)
    image = image[:, :, :1, :1].expand(image.shape).contiguous() if case.even else image
    mask = torch.rand(batch, height, width, generator=source) < case.share
    some = [Kernel(**each) for each in case.kernels]
    probabilities = logits.softmax(1)
    known = torch.where(mask, logits.argmax(1), 255)
    calls = {
        "dense": lambda: dense_crf_loss(probabilities, image, some, mask, case.normalization, filter=case.filter),  # type: ignore[arg-type]
        "cut": lambda: normalized_cut_loss(probabilities, image, some, mask, filter=case.filter),  # type: ignore[arg-type]
        "windowed": lambda: windowed_crf_loss(probabilities, image, some, mask, 2),
        "rloss": lambda: rloss(probabilities, image, scale=case.size, mask=mask, filter=case.filter),  # type: ignore[arg-type]
        "gated": lambda: energy_gated_loss(probabilities, image, known, scale=case.size, mask=mask, filter=case.filter),  # type: ignore[arg-type]
    }
    loss, refusal = answer_or_refusal(calls[case.loss])
    if refusal is not None:
        return REFUSED
    (gradient,) = torch.autograd.grad(loss, logits)
    assert loss.isfinite(), f"a loss of {loss}"
    assert gradient.isfinite().all(), "a gradient that is not finite"
    if case.loss in ("dense", "cut", "windowed") or case.size == 1:
        assert not gradient[(~mask)[:, None].expand_as(gradient)].any(), "a gradient outside of the mask"
    positive = all(kernel.weight >= 0 for kernel in some)
    if case.loss in ("rloss", "gated"):
        assert loss <= 0, "above 0"
    elif positive:
        assert loss >= (-1e-4 * labels if case.loss == "cut" else 0), f"a loss of {loss}"
        assert case.loss != "cut" or loss <= labels + 1e-4, f"a cut of {loss}"
    # On a grid a pixel may have no neighbor, or none of like color, which tests/kernels has cases for.
    gaussian = all(kernel.neighbors is None for kernel in some)
    if case.loss == "dense" and case.filter == "exact" and case.dtype == torch.float64 and gaussian:
        depth = image[:, :1]
        matrices = (dense_matrix(some, each, depth[0], case.normalization) for each in image)
        wanted = sum(cut(p, m.double(), w) for p, m, w in zip(probabilities, mask, matrices, strict=True))
        torch.testing.assert_close(loss, wanted / mask.sum().clamp(min=1), rtol=1e-7, atol=1e-9)
    return RIGHT


PROPERTIES = [Property("losses", CASES, check)]
