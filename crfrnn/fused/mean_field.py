"""All mean-field iterations of crfrnn/meanfield.py in one call of compiled CPU code.

With S_m and D_m the splat and slice of kernel m, normalizers folded in, B_m its blur and A_m = alpha_m mu W_m,

    x_t = U - sum_m D_m (B_m S_m Q_{t-1}) A_m^T,    Q_t = softmax(x_t),    Q_0 = softmax(U),

one pass over the pixels slices, subtracts, normalizes and splats; blur and label matrices act on the vertices alone. With
g_t the derivative of the loss to x_t, the derivative runs through the same steps in reverse:

    dQ_{t-1} = sum_m S_m^T B_m^T (D_m^T (-g_t) A_m),    g_{t-1} = Q_{t-1} (dQ_{t-1} - <dQ_{t-1}, Q_{t-1}>),
    dU = sum_t g_t,    dA_m = sum_t (D_m^T (-g_t))^T (B_m S_m Q_{t-1}).
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

import torch
from einops import rearrange
from torch import Tensor

from crfrnn.fused import compiled
from crfrnn.kernels import AnyKernels, LatticeKernels
from crfrnn.lattice.compiled import CompiledTables


def label_matrices(compatibility: Tensor, kernel_weights: Tensor) -> Tensor:
    """mu W_m of every kernel [M, L, L], from mu [L, L] and W as [M], [M, L] or [M, L, L]."""
    if kernel_weights.ndim == 3:
        return compatibility @ kernel_weights
    return compatibility * rearrange(kernel_weights, "m ... -> m 1 (...)")


# The code that runs all iterations over the tables of a backend. A backend without a line here has none.
CODE: dict[type, ModuleType] = {CompiledTables: compiled}


def mean_field(
    unary: Tensor,
    kernels: AnyKernels,
    matrices: Tensor,
    iterations: int,
    tolerance: float | None = None,
    min_belief: float = 0.0,
) -> Tensor | None:
    """Logits [B, L, H, W] after mean field, in one call; None where it cannot be had so.

    That takes lattices whose backend has the code, which are constants and keep the self-message, and at most one of
    the two options, none where a gradient is wanted. Differentiable once, to `unary` and `matrices`.

    Args:
        unary: [B, L, H, W].
        kernels: those of the images.
        matrices: mu W_m [M, L, L], the penalty for label l beside label l' by kernel.
        iterations: T >= 1.
        tolerance: stop as soon as no belief changed by more than this.
        min_belief: labels whose belief stays below this everywhere in an image have belief 0 until the last iteration,
            which gives every label its logit.
    """
    if not isinstance(kernels, LatticeKernels):
        return None
    tables: Any = kernels.stack.tables
    code = CODE.get(type(tables))
    gradient = torch.is_grad_enabled() and (unary.requires_grad or matrices.requires_grad)
    options = (tolerance is not None) + (min_belief > 0)
    if code is None or not code.takes(unary) or not _constant(kernels) or options > (0 if gradient else 1):
        return None
    start, labels = unary, None
    if min_belief > 0:
        present = code.peak_beliefs(unary) >= min_belief
        labels = present.any(0).nonzero().squeeze(1)
        start = unary[:, labels]
        if len(unary) > 1:
            start = start.masked_fill(~present[:, labels, None, None], -torch.inf)
    out, _, _ = code.all_iterations(
        unary,
        start,
        labels,
        matrices.new_tensor(kernels.alphas)[:, None, None] * matrices,
        kernels.splat_weights.contiguous(),
        kernels.slice_weights.contiguous(),
        tables.as_list(),
        [0, *(segment.stop for segment in kernels.stack.segments)],
        iterations,
        -1.0 if tolerance is None else tolerance,
        gradient,
    )
    return out


def _constant(kernels: LatticeKernels) -> bool:
    """Whether no gradient has to pass through the kernels, and none leaves out the message of a pixel to itself."""
    learned = kernels.splat_weights.requires_grad or kernels.slice_weights.requires_grad
    return not (torch.is_grad_enabled() and learned) and all(term is None for term in kernels.self_terms)
