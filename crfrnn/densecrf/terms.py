"""Pairwise terms: a Gaussian kernel over features, how it is normalized, and the cost of differing labels."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, TypeVar

import torch
from torch import Tensor

from crfrnn.densecrf.arrays import as_tensor, check_finite
from crfrnn.densecrf.points import Points
from crfrnn.kernels import Normalization


class KernelType(IntEnum):
    """Which parameters of a kernel Kraehenbuehl's code can learn: none, a factor for each feature, or a full matrix.

    They start as ones or as the identity, and pydensecrf has no call that changes them. So all three give the same kernel,
    there and here.
    """

    CONST_KERNEL = 0
    DIAG_KERNEL = 1
    FULL_KERNEL = 2


class NormalizationType(IntEnum):
    """How a kernel K is divided by its row sums d = K 1."""

    NO_NORMALIZATION = 0
    """K"""
    NORMALIZE_BEFORE = 1
    """K diag(1/d)"""
    NORMALIZE_AFTER = 2
    """diag(1/d) K"""
    NORMALIZE_SYMMETRIC = 3
    """diag(1/sqrt d) K diag(1/sqrt d)"""


CONST_KERNEL, DIAG_KERNEL, FULL_KERNEL = KernelType
NO_NORMALIZATION, NORMALIZE_BEFORE, NORMALIZE_AFTER, NORMALIZE_SYMMETRIC = NormalizationType

Choice = TypeVar("Choice", KernelType, NormalizationType)

# So that sums over all terms stay finite in float32.
LARGEST_COST = 1e20

NAMES: dict[NormalizationType, Normalization] = {
    NO_NORMALIZATION: "none",
    NORMALIZE_BEFORE: "before",
    NORMALIZE_AFTER: "after",
    NORMALIZE_SYMMETRIC: "symmetric",
}


@dataclass(frozen=True, eq=False)
class Term:
    """One pairwise term; it costs W (K Q)_i at point i."""

    points: Points
    penalty: float | Tensor  # W: one number, one per label [L], or a matrix over labels [L, L]
    normalization: Normalization


def make_term(points: Points, compat: Any, kernel: Any, normalization: Any, num_labels: int) -> Term:
    """A term over `points`. Raises TypeError or ValueError for arguments that make no sense."""
    choice("kernel", kernel, KernelType)
    return Term(points, penalty(compat, num_labels), NAMES[choice("normalization", normalization, NormalizationType)])


def penalty(compat: Any, num_labels: int) -> float | Tensor:
    """The penalty W, a number, [L] or [L, L] that pydensecrf makes of `compat`.

    A number w means Potts and becomes -w, a reward for neighbors that agree. A vector v becomes diag(v), and a matrix M
    becomes (M + M^T) / 2; both are penalties. So `compat=3` equals `compat=[-3, -3, ...]`. It also equals
    `compat=3 * (1 - eye)`, but for a constant of each pixel, which softmax ignores.
    """
    if isinstance(compat, int | float) and abs(compat) <= LARGEST_COST:
        return -float(compat)
    weights = as_tensor("compat", compat)
    check_finite("compat", weights, "wanted finite numbers")
    largest = float(weights.abs().max()) if weights.numel() else 0.0
    if largest > LARGEST_COST:
        raise ValueError(f"compat reaches {largest:g}; wanted at most {LARGEST_COST:g}, so that sums stay finite")
    if weights.ndim == 0:
        return -weights.item()
    if weights.shape == (num_labels,):
        return weights
    if weights.shape == (num_labels, num_labels):
        return (weights + weights.T) / 2
    raise ValueError(
        f"compat has shape {list(weights.shape)}; wanted a number (Potts), [{num_labels}] (diagonal) or "
        f"[{num_labels}, {num_labels}] (matrix), for {num_labels} labels"
    )


def stacked(penalties: Sequence[float | Tensor], num_labels: int, device: torch.device) -> Tensor:
    """Penalties of mixed forms, brought to one form and stacked: [M], [M, L] or [M, L, L]."""
    most = max(0 if isinstance(each, float) else each.ndim for each in penalties)
    if most == 0:
        return torch.tensor(penalties, dtype=torch.float32, device=device)
    tensors = [torch.as_tensor(each, dtype=torch.float32, device=device) for each in penalties]
    diagonals = [each.expand(num_labels) if each.ndim < 2 else each for each in tensors]
    if most == 1:
        return torch.stack(diagonals)
    return torch.stack([each if each.ndim == 2 else torch.diag(each) for each in diagonals])


def choice(name: str, value: Any, choices: type[Choice]) -> Choice:
    """The one of `choices` that `value` is, or whose number it is."""
    try:
        return choices(value)
    except (TypeError, ValueError):
        names = ", ".join(each.name for each in choices)
        raise ValueError(f"{name} is {value!r}; wanted one of {names}") from None
