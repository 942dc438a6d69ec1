"""All mean-field iterations of crfrnn/meanfield.py in one call of compiled CPU code.

With S_m and D_m the splat and slice of kernel m, normalizers folded in, B_m its blur and A_m = alpha_m mu W_m,

    x_t = U - sum_m D_m (B_m S_m Q_{t-1}) A_m^T,    Q_t = softmax(x_t),    Q_0 = softmax(U),

one pass over the pixels slices, subtracts, normalizes and splats; blur and label matrices act on the vertices alone. With
g_t the derivative of the loss to x_t, the derivative runs through the same steps in reverse:

    dQ_{t-1} = sum_m S_m^T B_m^T (D_m^T (-g_t) A_m),    g_{t-1} = Q_{t-1} (dQ_{t-1} - <dQ_{t-1}, Q_{t-1}>),
    dU = sum_t g_t,    dA_m = sum_t (D_m^T (-g_t))^T (B_m S_m Q_{t-1}).
"""

from __future__ import annotations

import torch
from einops import rearrange
from torch import Tensor

from crfrnn import native
from crfrnn.fused import operators as fused_operators
from crfrnn.kernels import LatticeKernels
from crfrnn.lattice.compiled import CompiledTables


def label_matrices(compatibility: Tensor, kernel_weights: Tensor) -> Tensor:
    """mu W_m of every kernel [M, L, L], from mu [L, L] and W as [M], [M, L] or [M, L, L]."""
    if kernel_weights.ndim == 3:
        return compatibility @ kernel_weights
    return compatibility * rearrange(kernel_weights, "m ... -> m 1 (...)")


def can_fuse(
    unary: Tensor, kernels: LatticeKernels, matrices: Tensor, tolerance: float | None = None, min_belief: float = 0.0
) -> bool:
    """Whether `mean_field` takes these: compiled lattices that are constants and keep the self-message, without both
    options at once, and without any where a gradient is wanted.
    """
    if not isinstance(kernels.stack.tables, CompiledTables):
        return False
    options = (tolerance is not None) + (min_belief > 0)
    weights_learn = kernels.splat_weights.requires_grad or kernels.slice_weights.requires_grad
    return (
        native.library(unary.dtype) is not None
        and all(term is None for term in kernels.self_terms)
        and not (torch.is_grad_enabled() and weights_learn)
        and options <= (0 if _differentiable(unary, matrices) else 1)
    )


def _differentiable(unary: Tensor, matrices: Tensor) -> bool:
    return torch.is_grad_enabled() and (unary.requires_grad or matrices.requires_grad)


def mean_field(
    unary: Tensor,
    kernels: LatticeKernels,
    matrices: Tensor,
    iterations: int,
    tolerance: float | None = None,
    min_belief: float = 0.0,
) -> Tensor:
    """Logits [B, L, H, W] after mean field, where `can_fuse` holds; differentiable once, to `unary` and `matrices`.

    Args:
        unary: [B, L, H, W].
        kernels: those of the images.
        matrices: mu W_m [M, L, L], the penalty for label l beside label l' by kernel.
        iterations: T >= 1.
        tolerance: stop as soon as no belief changed by more than this.
        min_belief: labels whose belief stays below this everywhere in an image have belief 0 until the last iteration,
            which gives every label its logit.
    """
    tables, segments = kernels.stack.tables, [0, *(segment.stop for segment in kernels.stack.segments)]
    assert isinstance(tables, CompiledTables)
    start, labels = unary, None
    if min_belief > 0:
        present = fused_operators.peak_beliefs(unary) >= min_belief
        labels = present.any(0).nonzero().squeeze(1)
        start = unary[:, labels]
        if len(unary) > 1:
            start = start.masked_fill(~present[:, labels, None, None], -torch.inf)
    out, _, _ = fused_operators.mean_field(
        unary,
        start,
        labels,
        matrices.new_tensor(kernels.alphas)[:, None, None] * matrices,
        kernels.splat_weights.contiguous(),
        kernels.slice_weights.contiguous(),
        tables.as_list(),
        segments,
        iterations,
        -1.0 if tolerance is None else tolerance,
        _differentiable(unary, matrices),
    )
    return out
