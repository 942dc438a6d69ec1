"""Linear systems A x = b that are given by what A does to x: stabilized bi-conjugate gradients (van der Vorst 1992)."""

from __future__ import annotations

import torch
from torch import Tensor

from crfrnn.solvers import Operator

MOST_ROUNDS = 500
MOST_STARTS = 5


def solve(system: Operator, wanted: Tensor, limit: float) -> tuple[Tensor, float]:
    """x with no entry of b - A x above `limit`, or as near as it gets; and the largest entry.

    Args:
        system: A.
        wanted: b, with which x begins.
    """
    found = wanted
    for _ in range(MOST_STARTS):
        # The residual that the rounds carry along drifts from the true one, so it is computed again before it is believed.
        residual = wanted - system(found)
        largest = float(residual.abs().max())
        if not limit < largest < torch.inf:
            break
        found = found + _correction(system, residual, limit)
    return found, largest


def _correction(system: Operator, residual: Tensor, limit: float) -> Tensor:
    """What to add to x for this b - A x."""
    shadow = direction = residual
    correction = residual.new_zeros(residual.shape)
    rho = (shadow * residual).sum()
    for _ in range(MOST_ROUNDS):
        image = system(direction)
        alpha = rho / (shadow * image).sum()
        halfway = residual - alpha * image
        turned = system(halfway)
        omega = (turned * halfway).sum() / turned.square().sum().clamp(min=torch.finfo(turned.dtype).tiny)
        step = alpha * direction + omega * halfway
        if not step.isfinite().all():
            break
        correction = correction + step
        residual = halfway - omega * turned
        if bool(residual.abs().max() <= limit):
            break
        rho, previous = (shadow * residual).sum(), rho
        direction = residual + rho / previous * alpha / omega * (direction - omega * image)
    return correction
