"""Unary energies [L, N]: given, or linear in features."""

from typing import Any

import torch
from torch import Tensor

from crfrnn.densecrf.arrays import as_matrix, check_finite
from crfrnn.lattice.checks import extremes

# exp(-FORBIDDEN) is 0; unlike infinity it can be multiplied by a belief of 0.
FORBIDDEN = 1e30


class Unary:
    """Unary energies, made as `ConstUnary` or `LogisticUnary`. Any number of CRFs can share them."""

    def __init__(self, energy: Tensor) -> None:
        low, high = extremes(energy).tolist() if energy.numel() else (0, 0)
        if not (low > -torch.inf and high <= FORBIDDEN):
            _check(energy)
            energy = energy.clamp(max=FORBIDDEN)
        self.energy, self._highest = energy, high

    def are_probabilities(self) -> bool:
        """Whether these look like probabilities: in 0..1, with sum 1 over two or more labels."""
        if len(self.energy) < 2 or self.energy.numel() == 0 or self._highest > 1.001:
            return False
        return bool((self.energy >= 0).all()) and bool(((self.energy.sum(0) - 1).abs() < 1e-3).all())


class ConstUnary(Unary):
    """Energies u [L, N] as they are, -log p. +inf forbids a label."""

    def __init__(self, u: Any) -> None:
        super().__init__(as_matrix("u", u, "[nlabels, nvar]"))


class LogisticUnary(Unary):
    """Energies L f of weights L [nlabels, D] and features f [D, N]."""

    def __init__(self, L: Any, f: Any) -> None:
        weights, features = as_matrix("L", L, "[nlabels, D]"), as_matrix("f", f, "[D, nvar]")
        if weights.shape[1] != features.shape[0]:
            raise ValueError(
                f"L has shape {list(weights.shape)} and f {list(features.shape)}; wanted [nlabels, D] and [D, nvar]"
            )
        check_finite("L", weights, "wanted finite weights")
        check_finite("f", features, "wanted finite features")
        super().__init__(weights @ features.to(weights.device))


def _check(energy: Tensor) -> None:
    if energy.isnan().any() or (energy == -torch.inf).any():
        raise ValueError(
            "the unary energies hold NaN or -inf; wanted -log p: look for probabilities below 0 or a division by 0"
        )
    if (energy == torch.inf).all(0).any():
        raise ValueError(
            "some pixel has an infinite unary energy for every label; wanted at least one label that it can take: "
            "unary_from_softmax(..., clip=1e-5) keeps energies finite"
        )
