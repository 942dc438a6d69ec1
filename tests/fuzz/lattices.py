"""The lattice: compiled equals plain torch, K^T is the adjoint of K, a batch its images; what comes out is finite."""

from __future__ import annotations

from typing import NamedTuple

import torch
from hypothesis import strategies as st
from torch import Tensor

from crfrnn import native
from crfrnn.lattice import Lattice, exact_gaussian_filter
from tests.fuzz.layers import DTYPES, exponents
from tests.fuzz.property import REFUSED, RIGHT, Property, answer_or_refusal


class Case(NamedTuple):
    shape: tuple[int, int, int]  # batch, points, dimensions
    channels: int
    dtype: torch.dtype
    span: float  # of the features
    offset: float
    places: int  # different positions, at most: many points share one
    scale: float  # of the values
    dilate: bool
    threads: int
    seed: int


CASES = st.builds(
    Case,
    shape=st.tuples(st.integers(1, 3), st.integers(1, 40), st.integers(1, 16)),
    channels=st.integers(1, 9),
    dtype=DTYPES,
    span=exponents(-6, 9),
    offset=st.one_of(st.just(0.0), exponents(-3, 38)),
    places=st.integers(1, 50),
    scale=exponents(-30, 30),
    dilate=st.sampled_from([False, False, False, True]),
    threads=st.integers(1, 5),
    seed=st.integers(0, 2**31),
)


def draw(case: Case) -> tuple[Tensor, Tensor]:
    """Features and values of a case."""
    source = torch.Generator().manual_seed(case.seed)
    batch, points, dimensions = case.shape
    places = (
        case.span * torch.randn(batch, case.places, dimensions, generator=source, dtype=torch.float64) + case.offset
    )
    index = torch.randint(case.places, (batch, points), generator=source)
    features = torch.stack([each[own] for each, own in zip(places, index, strict=True)])
    values = case.scale * torch.rand(batch, points, case.channels, generator=source, dtype=torch.float64)
    return features.to(case.dtype), values.to(case.dtype)


def check(case: Case) -> str:
    features, values = draw(case)
    if case.dilate:
        features = features[..., :4]  # the vertices of a dilated lattice grow with the square of the dimensions
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(case.threads)
        lattice, refusal = answer_or_refusal(lambda: Lattice.build(features, dilate=case.dilate))
        with native.disabled():
            plain, plain_refusal = answer_or_refusal(lambda: Lattice.build(features, dilate=case.dilate))
        assert (refusal is None) == (plain_refusal is None), f"compiled: {refusal}; plain: {plain_refusal}"
        if lattice is None or plain is None:
            _, exact_refusal = answer_or_refusal(lambda: exact_gaussian_filter(values, features))
            assert exact_refusal is not None or torch.finfo(case.dtype).eps * features.abs().max() > 0.1
            return REFUSED
        check_filter(case, lattice, plain, features, values)
    finally:
        torch.set_num_threads(threads)
    return RIGHT


def check_filter(case: Case, lattice: Lattice, plain: Lattice, features: Tensor, values: Tensor) -> None:
    out = lattice.filter(values)
    with native.disabled():
        wanted = plain.filter(values)
    assert out.isfinite().all(), "not finite"
    assert torch.equal(out, lattice.filter(values)), "two runs differ"
    rounding = (1e-5 if case.dtype == torch.float32 else 1e-13) * values.sum().item()
    assert (out >= -rounding).all(), "a sum of positive terms is negative"
    torch.testing.assert_close(out, wanted, rtol=0, atol=rounding)
    ones = lattice.filter(torch.ones_like(values[..., :1]))[..., 0]
    torch.testing.assert_close(lattice.row_sums(), ones, rtol=1e-5, atol=1e-5)
    other = values.flip(1) / case.scale
    forward, backward = (out * other).sum(), (values * lattice.filter(other, transpose=True)).sum()
    torch.testing.assert_close(forward, backward, rtol=1e-4, atol=rounding)
    singles = [
        Lattice.build(each[None], dilate=case.dilate).filter(own[None])
        for each, own in zip(features, values, strict=True)
    ]
    torch.testing.assert_close(out, torch.cat(singles), rtol=0, atol=rounding)


PROPERTIES = [Property("lattice", CASES, check)]
