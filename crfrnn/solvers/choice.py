"""The solver that a layer's arguments name, for one batch of images."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

from torch import Tensor

from crfrnn.fused.mean_field import label_matrices
from crfrnn.kernels import AnyKernels
from crfrnn.solvers import Beliefs, Operator, Update, mean_field
from crfrnn.solvers.damped import damped, rates
from crfrnn.solvers.frank_wolfe import frank_wolfe, target_of
from crfrnn.state import full_precision, hidden_labels, to_pixels


@dataclass(frozen=True, eq=False)
class Solver:
    """What the iterations of a batch are made of."""

    penalty: Operator
    adjoint: Operator
    to_beliefs: Beliefs
    update: Update


def choose(layer: Any, unary: Tensor, kernels: AnyKernels) -> Solver:
    """The solver of a `CRFRNN` for images with these kernels and the unary [B, L, H, W]."""
    hidden, unary = hidden_labels(unary, layer.min_belief), to_pixels(unary)
    penalty = partial(layer.cell.penalty, kernels=kernels)
    mu, weights = layer.cell.compatibility.to(unary), layer.cell.kernel_weights.to(unary)
    adjoint = partial(adjoint_penalty, kernels=kernels, kernel_weights=weights, compatibility=mu)
    if layer.solver == "frank_wolfe":
        target = target_of(layer.regularizer, layer.regularizer_weight, hidden)
        return Solver(penalty, adjoint, target, frank_wolfe(unary, penalty, layer.step, target))

    def to_beliefs(logits: Tensor) -> Tensor:
        return (logits + hidden).softmax(-1)

    if layer.damping == 0:
        return Solver(penalty, adjoint, to_beliefs, mean_field(to_beliefs))
    if layer.damping != "auto":
        return Solver(penalty, adjoint, to_beliefs, damped(1 - layer.damping, to_beliefs))

    def symmetric(beliefs: Tensor) -> Tensor:
        return (penalty(beliefs) + adjoint(beliefs)) / 2

    def own_adjoint(values: Tensor) -> Tensor:
        """`symmetric`, of the parameters of this call: in the backward, `functional_call` has put others back."""
        with full_precision(values):
            return (kernels.weighted_sum(values, weights) @ mu.mT + adjoint(values)) / 2

    with full_precision(unary):
        steps = rates(kernels, label_matrices(mu, weights), unary)
    return Solver(symmetric, own_adjoint, to_beliefs, damped(steps, to_beliefs))


def adjoint_penalty(values: Tensor, kernels: AnyKernels, kernel_weights: Tensor, compatibility: Tensor) -> Tensor:
    """The transpose of the linear `MeanFieldCell.penalty`, sum_m K_m^T values mu W_m: [B, N, L] -> [B, N, L]."""
    transposed = kernel_weights.mT if kernel_weights.ndim == 3 else kernel_weights
    with full_precision(values):
        return kernels.weighted_sum(values @ compatibility, transposed, transpose=True)
