"""All mean-field iterations as a few Triton kernels each; mean_field.py has the equations.

An iteration splats (one or two launches), blurs (one for each axis), multiplies vertices by label matrices (one for each
kernel), and slices, subtracts and normalizes in one.
"""

from __future__ import annotations

import torch
from einops import rearrange
from torch import Tensor

from crfrnn import gpu
from crfrnn.kernels import LatticeKernels

MOST_LABELS = 256
"""that one program holds for its pixels"""


def run(
    unary: Tensor,
    kernels: LatticeKernels,
    matrices: Tensor,
    iterations: int,
    tolerance: float | None,
    min_belief: float,
) -> Tensor | None:
    """As `mean_field`; None with a gradient, for which iterations have to keep what they make, and with an option."""
    given = (unary, matrices, kernels.splat_weights, kernels.slice_weights)
    gradient = torch.is_grad_enabled() and any(each.requires_grad for each in given)
    if not gpu.runs(unary) or gradient or tolerance is not None or min_belief > 0 or unary.shape[1] > MOST_LABELS:
        return None
    from crfrnn.gpu import launch  # needs Triton

    stack = kernels.stack
    matrices = matrices.new_tensor(kernels.alphas)[:, None, None] * matrices
    slice_index, slice_weights = stack.tables.slice_index, kernels.slice_weights.contiguous()
    rows = rearrange(unary, "b l h w -> (b h w) l").contiguous()
    beliefs = rows.softmax(1)
    for iteration in range(1, iterations + 1):
        vertices = stack.blur(stack.splat(beliefs, kernels.splat_weights))
        for segment, matrix in zip(stack.segments, matrices, strict=True):
            vertices[segment] = vertices[segment] @ matrix.mT
        launch.update(slice_index, vertices, slice_weights, rows, beliefs, last=iteration == iterations)
    return rearrange(beliefs, "(b h w) l -> b l h w", b=len(unary), h=unary.shape[2])
