"""Terms of pydensecrf's DenseCRF2D as a layer, and back."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from crfrnn._numbers import whole_number
from crfrnn.convert.layer import check_transferable, compat_of, penalties_of, with_weights
from crfrnn.densecrf import NORMALIZE_SYMMETRIC, NormalizationType
from crfrnn.densecrf.arrays import standard_deviations
from crfrnn.densecrf.terms import NAMES, choice, penalty, stacked
from crfrnn.kernels import Kernel, appearance_kernel, smoothness_kernel
from crfrnn.meanfield import CRFRNN


@dataclass(frozen=True, eq=False)
class PairwiseTerm:
    """The arguments of `addPairwiseGaussian` (srgb None) or of `addPairwiseBilateral` without its image."""

    sxy: float | Sequence[float]
    compat: float | Sequence[Any] | np.ndarray
    srgb: float | Sequence[float] | None = None
    normalization: NormalizationType = NORMALIZE_SYMMETRIC


def from_pydensecrf(num_labels: int, terms: Sequence[PairwiseTerm], num_iterations: int = 5) -> CRFRNN:
    """The layer whose softmax gives the beliefs of a DenseCRF2D with `terms`, for logits = -energies.

    Numbers as compat become Potts with scalar kernel weights; vectors and matrices become kernel weights in the form
    "diagonal" or "matrix" under mu = I. A pair as sxy is (x, y), and becomes bandwidths of the axes (y, x).
    """
    num_labels = whole_number("num_labels", num_labels, 2)
    foreign = [term for term in terms if not isinstance(term, PairwiseTerm)]
    if foreign:
        raise TypeError(f"one of the terms is a {type(foreign[0]).__name__}; wanted PairwiseTerm(sxy, compat, srgb)")
    normalizations = {NAMES[choice("normalization", term.normalization, NormalizationType)] for term in terms}
    if len(normalizations) != 1:
        raise ValueError(
            f"the terms have normalizations {sorted(normalizations)}; wanted the same for all terms, and at least one term"
        )
    penalties = [penalty(term.compat, num_labels) for term in terms]
    weights = stacked(penalties, num_labels, torch.device("cpu"))
    form: Any = ("scalar", "diagonal", "matrix")[weights.ndim - 1]
    potts = form == "scalar"
    kernels = [_kernel(term, -float(w) if potts else 1.0) for term, w in zip(terms, penalties, strict=True)]
    crf = CRFRNN(
        num_labels,
        kernels,
        whole_number("num_iterations", num_iterations, 0),
        normalization=normalizations.pop(),
        kernel_weights=form,
        compatibility="potts" if potts else torch.eye(num_labels),
    )
    return crf if potts else with_weights(crf, weights)


def to_pydensecrf(crf: CRFRNN) -> list[PairwiseTerm]:
    """The terms with which a DenseCRF2D gives the beliefs of `crf`, for energies = -logits.

    compat is a number if the penalty is Potts, a vector if it is diagonal, and otherwise a matrix. pydensecrf takes the
    symmetric part of a matrix, so only penalties that are symmetric up to some 1 v^T have a counterpart.
    """
    check_transferable(crf)
    normalization = next(kind for kind, name in NAMES.items() if name == crf.normalization)
    for kernel in crf.kernels:
        if isinstance(kernel.theta_position, tuple) and len(kernel.theta_position) != 2:
            raise ValueError(f"{kernel} is one of {len(kernel.theta_position)} axes; a DenseCRF2D has two")
    return [
        _term(kernel, theta.detach().cpu().tolist(), compat_of(matrix), normalization)
        for kernel, theta, matrix in zip(crf.kernels, crf.bandwidths, penalties_of(crf), strict=True)
    ]


def _term(
    kernel: Kernel, thetas: list[float], compat: float | np.ndarray, normalization: NormalizationType
) -> PairwiseTerm:
    positions, colors = thetas[: kernel.num_position_bandwidths], thetas[kernel.num_position_bandwidths :]
    sxy = tuple(reversed(positions)) if isinstance(kernel.theta_position, tuple) else positions[0]
    srgb = tuple(colors) if isinstance(kernel.theta_guide, tuple) else colors[0] if colors else None
    return PairwiseTerm(sxy, compat, srgb, normalization)


def _kernel(term: PairwiseTerm, weight: float) -> Kernel:
    """A pair sxy is (x, y); positions of a layer are in the order of its axes, (y, x)."""
    sxy = _thetas("sxy", term.sxy)
    if isinstance(sxy, tuple):
        if len(sxy) != 2:
            raise ValueError(f"sxy is {term.sxy!r}; wanted one number, or two: (x, y)")
        sxy = sxy[::-1]
    if term.srgb is None:
        return smoothness_kernel(sxy, weight)
    return appearance_kernel(sxy, _thetas("srgb", term.srgb), weight)


def _thetas(name: str, value: Any) -> float | tuple[float, ...]:
    """Equal numbers are one."""
    numbers = standard_deviations(name, value)
    if isinstance(numbers, float):
        return numbers
    return tuple(numbers) if len(set(numbers)) > 1 else numbers[0]
