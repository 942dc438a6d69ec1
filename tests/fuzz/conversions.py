"""Conversions: parameters come back as they were, the layer gives the beliefs of the original; others are refused."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from hypothesis import strategies as st
from torch import Tensor

import crfrnn.densecrf as dcrf
from crfrnn.convert import PairwiseTerm, from_crfasrnn, from_pydensecrf, to_crfasrnn, to_pydensecrf
from tests.fuzz import drop_in
from tests.fuzz.layers import exponents
from tests.fuzz.property import REFUSED, RIGHT, Property, answer_or_refusal


def as_of_a_layer(case: drop_in.Case) -> drop_in.Case:
    """Bandwidths that are one number, one normalization and two labels or more, in most cases."""
    if case.seed % 10 == 0:
        return case
    terms = [
        term._replace(sxy=term.sxy[:1] * 2, srgb=term.srgb[:1] * 3, normalization=case.terms[0].normalization)
        for term in case.terms
    ]
    return case._replace(terms=terms, labels=max(2, case.labels))


def check_pydensecrf(case: drop_in.Case) -> str:
    """By `crfrnn.densecrf`, which another property compares with pydensecrf2. Both keep to symmetric penalties."""
    energies, image, compats = drop_in.draw(case)
    terms = [
        PairwiseTerm(term.sxy, compat, term.srgb if term.guided else None, dcrf.NormalizationType(term.normalization))
        for term, compat in zip(case.terms, compats, strict=True)
    ]
    crf, refusal = answer_or_refusal(lambda: from_pydensecrf(case.labels, terms, case.iterations))
    if refusal is not None:
        return REFUSED
    unary = -torch.from_numpy(energies).view(1, case.labels, *image.shape[:2])
    guide = torch.from_numpy(image).permute(2, 0, 1)[None].float()

    def of(layer: Any) -> np.ndarray:
        with torch.no_grad():
            return layer(unary, guide).softmax(1)[0].flatten(1).numpy()

    full = case._replace(terms=[term._replace(kernel=int(dcrf.DIAG_KERNEL)) for term in case.terms])
    wanted = drop_in.beliefs(dcrf, full, energies, image, compats)
    assert (np.abs(of(crf) - wanted) < 1e-3).mean() > 0.99, "the layer is another CRF"
    back, refusal = answer_or_refusal(lambda: from_pydensecrf(case.labels, to_pydensecrf(crf), case.iterations))
    if refusal is None:
        assert (np.abs(of(back) - of(crf)) < 1e-3).mean() > 0.99, "there and back is another CRF"
    return RIGHT


class Parameters(NamedTuple):
    labels: int
    scale: float
    thetas: tuple[float, float, float]
    convention: str
    damage: str
    seed: int


DAMAGES = ["none", "none", "NaN", "infinity", "columns", "vector", "labels", "empty", "integers", "text", "nothing"]
PARAMETERS = st.builds(
    Parameters,
    labels=st.integers(1, 6),
    scale=exponents(-3, 38),
    thetas=st.tuples(exponents(-40, 40), exponents(-3, 3), exponents(-3, 3)),
    convention=st.sampled_from(["caffe", "keras", "pytorch", "Caffe", ""]),
    damage=st.sampled_from(DAMAGES),
    seed=st.integers(0, 2**31),
)


def damaged(matrix: Tensor, damage: str) -> Any:
    """The matrix with one thing wrong, as in a file that was cut, diverged in training, or belongs to something else."""
    if damage in ("NaN", "infinity"):
        matrix[-1, 0] = float("nan") if damage == "NaN" else float("inf")
    return {
        "columns": matrix[:, 1:],
        "vector": matrix[0],
        "labels": torch.zeros(len(matrix) + 1, len(matrix) + 1),
        "empty": matrix[:0, :0],
        "integers": matrix.clamp(-9, 9).int(),
        "text": "weights",
        "nothing": None,
    }.get(damage, matrix)


def check_crfasrnn(case: Parameters) -> str:
    source = torch.Generator().manual_seed(case.seed)
    spatial, bilateral, compatibility = (
        case.scale * torch.randn(3, case.labels, case.labels, generator=source, dtype=torch.float64)
    ).float()
    alpha, beta, gamma = case.thetas
    last = damaged(compatibility.clone(), case.damage)

    def build() -> Any:
        return from_crfasrnn(
            spatial, bilateral, last, case.convention, theta_alpha=alpha, theta_beta=beta, theta_gamma=gamma  # type: ignore[arg-type]
        )  # fmt: skip

    crf, refusal = answer_or_refusal(build)
    if refusal is not None:
        return REFUSED
    assert case.damage in ("none", "integers"), f"{case.damage} were taken"
    assert case.convention in ("caffe", "keras", "pytorch"), f"{case.convention!r} was taken"
    back = to_crfasrnn(crf, case.convention)  # type: ignore[arg-type]
    for name, wanted in (("spatial_ker_weights", spatial), ("bilateral_ker_weights", bilateral)):
        assert torch.equal(torch.as_tensor(back[name]), wanted), name
    given = torch.as_tensor(last).float()
    torch.testing.assert_close(back["compatibility_matrix"], given, rtol=1e-6, atol=1e-6)
    assert np.allclose([back["theta_alpha"], back["theta_beta"], back["theta_gamma"]], [alpha, beta, gamma], rtol=1e-6)
    return RIGHT


PROPERTIES = [
    Property(
        "conversion of pydensecrf",
        drop_in.cases(position=1.5, color=2.5, spread=1).map(as_of_a_layer),
        check_pydensecrf,
    ),
    Property("conversion of CRF-RNN", PARAMETERS, check_crfasrnn),
]
