"""The drop-in: beliefs are pydensecrf2's, sum to 1, and leave the arrays of the caller alone."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pydensecrf.densecrf
from hypothesis import strategies as st

import crfrnn.densecrf as dcrf
from crfrnn import native
from tests.fuzz.layers import exponents
from tests.fuzz.property import REFUSED, RIGHT, Property, answer_or_refusal


class Term(NamedTuple):
    guided: bool
    sxy: tuple[float, float]
    srgb: tuple[float, float, float]
    form: str  # of the compat
    strength: float
    kernel: int
    normalization: int


class Case(NamedTuple):
    size: tuple[int, int]  # in blocks of 2 x 2: pydensecrf2 reads beyond its arrays unless pixels come in fours
    labels: int
    spread: float  # of the energies
    terms: list[Term]
    iterations: int
    plain: bool
    flat: bool  # an image of few colors
    seed: int


def cases(position: float, color: float, spread: float) -> st.SearchStrategy[Case]:
    """Bandwidths reach from 10^-position to 10^position pixels, and from 10^-color to 10^color levels."""
    theta, levels = exponents(-position, position), exponents(-color, color)
    terms = st.builds(
        Term,
        guided=st.booleans(),
        sxy=st.tuples(theta, theta),
        srgb=st.tuples(levels, levels, levels),
        form=st.sampled_from(["number", "vector", "matrix"]),
        strength=st.floats(-2, 2),
        kernel=st.sampled_from([int(each) for each in dcrf.KernelType]),
        normalization=st.sampled_from([int(each) for each in dcrf.NormalizationType]),
    )
    return st.builds(
        Case,
        size=st.tuples(st.integers(1, 6), st.integers(1, 6)),
        labels=st.integers(1, 6),
        spread=exponents(-2, spread),
        terms=st.lists(terms, max_size=3),
        iterations=st.integers(0, 5),
        plain=st.booleans(),
        flat=st.booleans(),
        seed=st.integers(0, 2**31),
    )


def draw(case: Case) -> tuple[np.ndarray, np.ndarray, list[Any]]:
    """Energies [L, N], the image [H, W, 3] and the compat of every term."""
    source = np.random.default_rng(case.seed)
    height, width = 2 * case.size[0], 2 * case.size[1]
    energies = (case.spread * source.standard_normal((case.labels, height * width))).astype(np.float32)
    image = source.integers(0, 3 if case.flat else 256, (height, width, 3), dtype=np.uint8)
    compats: list[Any] = []
    for term in case.terms:
        # Sums that nothing divides grow with the pixels; penalties that large tell rounding from rounding.
        scale = term.strength / (height * width if term.normalization == dcrf.NO_NORMALIZATION else 1)
        shape = {"number": (), "vector": (case.labels,), "matrix": (case.labels, case.labels)}[term.form]
        drawn = scale * source.standard_normal(shape)
        compats.append(float(drawn) if term.form == "number" else drawn.astype(np.float32))
    return energies, image, compats


def beliefs(module: Any, case: Case, energies: np.ndarray, image: np.ndarray, compats: list[Any]) -> np.ndarray:
    """Those of `module`, pydensecrf's or ours; [L, N]."""
    crf = module.DenseCRF2D(image.shape[1], image.shape[0], case.labels)
    crf.setUnaryEnergy(energies)
    for term, compat in zip(case.terms, compats, strict=True):
        how = {
            "compat": compat,
            "kernel": getattr(module, dcrf.KernelType(term.kernel).name),
            "normalization": getattr(module, dcrf.NormalizationType(term.normalization).name),
        }
        if term.guided:
            crf.addPairwiseBilateral(sxy=term.sxy, srgb=term.srgb, rgbim=image, **how)
        else:
            crf.addPairwiseGaussian(sxy=term.sxy, **how)
    return np.array(crf.inference(case.iterations))


def run(case: Case) -> tuple[np.ndarray | None, tuple[Any, ...]]:
    """The beliefs, None where they are refused, and what they were made from; both backends refuse the same."""
    given = draw(case)
    kept = [np.copy(each) for each in (given[0], given[1], *given[2])]
    answer, refusal = answer_or_refusal(lambda: beliefs(dcrf, case, *given))
    with native.disabled():
        plain, plain_refusal = answer_or_refusal(lambda: beliefs(dcrf, case, *given))
    assert (refusal is None) == (plain_refusal is None), f"compiled: {refusal}; plain: {plain_refusal}"
    for array, before in zip((given[0], given[1], *given[2]), kept, strict=True):
        assert np.array_equal(array, before), "an array of the caller was written to"
    if answer is not None:
        again = beliefs(dcrf, case, *given)
        assert np.array_equal(answer, again), "two runs differ"
        np.testing.assert_allclose(answer.sum(0), 1, atol=1e-5)
    return plain if case.plain else answer, given


def check(case: Case) -> str:
    """Where floats round otherwise a pixel may prefer another label, so 99 of 100 beliefs have to agree."""
    ours, given = run(case)
    if ours is None:
        return REFUSED
    theirs = beliefs(pydensecrf.densecrf, case, *given)
    assert theirs.shape == ours.shape, f"{ours.shape} for {theirs.shape}"
    close = np.abs(ours - theirs) < 1e-3
    assert close.mean() > 0.99, f"{(~close).mean():.1%} of the beliefs differ by up to {np.abs(ours - theirs).max()}"
    return RIGHT


def check_extreme(case: Case) -> str:
    """pydensecrf2 crashes on some of these."""
    ours, _ = run(case)
    if ours is None:
        return REFUSED
    assert np.isfinite(ours).all(), "not finite"
    return RIGHT


PROPERTIES = [
    Property("densecrf", cases(position=1.5, color=2.5, spread=1), check),
    Property("densecrf, extreme numbers", cases(position=30, color=30, spread=35), check_extreme),
]
