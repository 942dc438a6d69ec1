"""All mean-field iterations of crfrnn/meanfield.py in one call, by code that a backend has for it.

With S_m and D_m the splat and slice of kernel m, normalizers folded in, B_m its blur and A_m = alpha_m mu W_m,

    x_t = U - sum_m D_m (B_m S_m Q_{t-1}) A_m^T,    Q_t = softmax(x_t),    Q_0 = softmax(U),

one pass over the pixels slices, subtracts, normalizes and splats; blur and label matrices act on the vertices alone. With
g_t the derivative of the loss to x_t, the derivative runs through the same steps in reverse:

    dQ_{t-1} = sum_m S_m^T B_m^T (D_m^T (-g_t) A_m),    g_{t-1} = Q_{t-1} (dQ_{t-1} - <dQ_{t-1}, Q_{t-1}>),
    dU = sum_t g_t,    dA_m = sum_t (D_m^T (-g_t))^T (B_m S_m Q_{t-1}).

Splat and slice weights get the inner products of what their pixel gives and what their vertex holds, and those of Q_{t-1}
and B_m^T (D_m^T (-g_t) A_m), and of -g_t and B_m S_m Q_{t-1} A_m^T; autograd leads from them to features and bandwidths.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from einops import einsum, rearrange
from torch import Tensor

from crfrnn.fused import compiled, incremental, on_gpu
from crfrnn.kernels import AnyKernels, LatticeKernels
from crfrnn.lattice.compiled import CompiledTables
from crfrnn.lattice.tables import Tables


def label_matrices(compatibility: Tensor, kernel_weights: Tensor) -> Tensor:
    """mu W_m of every kernel [M, L, L], from mu [L, L] and W as [M], [M, L] or [M, L, L]."""
    if kernel_weights.ndim == 3:
        # The operator @ rounds differently where a factor needs gradients.
        return einsum(compatibility, kernel_weights, "label other, m other source -> m label source")
    return compatibility * rearrange(kernel_weights, "m ... -> m 1 (...)")


# The code that runs all iterations over the tables of a backend. A backend without a line here has none.
CODE: dict[type, Callable[..., Tensor | None]] = {CompiledTables: compiled.run, Tables: on_gpu.run}
INCREMENTAL: dict[type, Callable[..., Tensor]] = {
    CompiledTables: incremental.in_compiled_code,
    Tables: incremental.on_any_device,
}


def mean_field(
    unary: Tensor,
    kernels: AnyKernels,
    matrices: Tensor,
    iterations: int,
    tolerance: float | None = None,
    min_belief: float = 0.0,
    message_tolerance: float = 0.0,
) -> Tensor | None:
    """Logits [B, L, *space] after mean field, in one call; None where it cannot be had so.

    That takes lattices whose backend has the code and which keep the self-message, and at most one of the first two
    options, none where a gradient is wanted. Differentiable once, to `unary`, `matrices`, and splat and slice weights, and
    not where the side weights of the blur want a gradient.

    Args:
        unary: [B, L, *space].
        kernels: those of the images.
        matrices: mu W_m [M, L, L], the penalty for label l beside label l' by kernel.
        iterations: T >= 1.
        tolerance: stop as soon as no belief changed by more than this.
        min_belief: labels whose belief stays below this everywhere in an image have belief 0 until the last iteration,
            which gives every label its logit.
        message_tolerance: pixels whose messages changed by less, as `incremental.py` defines it, are not updated before the
            last iteration; no effect where a gradient is wanted.
    """
    if not isinstance(kernels, LatticeKernels):
        return None
    backend = type(kernels.stack.tables)
    if backend not in CODE or any(term is not None for term in kernels.self_terms):
        return None
    sides = kernels.stack.tables.side_weights
    if sides is not None and sides.requires_grad and torch.is_grad_enabled():
        return None
    given = (unary, matrices, kernels.splat_weights, kernels.slice_weights)
    gradient = torch.is_grad_enabled() and any(each.requires_grad for each in given)
    rows = as_image(unary)
    if message_tolerance > 0 and not gradient:
        matrices = matrices.detach()
        limit = incremental.belief_limit(matrices, message_tolerance)
        logits: Tensor | None = INCREMENTAL[backend](rows, kernels, matrices, iterations, tolerance, min_belief, limit)
    else:
        logits = CODE[backend](rows, kernels, matrices, iterations, tolerance, min_belief)
    return None if logits is None else logits.reshape(unary.shape)


def as_image(unary: Tensor) -> Tensor:
    """A signal as an image of one row, and a volume as one of all its rows: [B, L, *space] -> [B, L, H, W]."""
    return unary[:, :, None] if unary.ndim == 3 else unary.flatten(2, -2)
