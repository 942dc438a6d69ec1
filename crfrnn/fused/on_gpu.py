"""All mean-field iterations, and their derivative, as a few Triton kernels each; mean_field.py has the equations.

An iteration splats (one or two launches), blurs (one for each axis), multiplies vertices by label matrices (one for each
kernel), and slices, subtracts and normalizes in one. So does its derivative, in reverse.
"""

from __future__ import annotations

from typing import Any, NoReturn

import torch
from einops import rearrange
from torch import Tensor
from torch.autograd import Function

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
    """As `mean_field`; None with an option, and where a gradient is wanted to splat or slice weights."""
    learned = torch.is_grad_enabled() and any(
        each.requires_grad for each in (kernels.splat_weights, kernels.slice_weights)
    )
    if not gpu.runs(unary) or learned or tolerance is not None or min_belief > 0 or unary.shape[1] > MOST_LABELS:
        return None
    matrices = matrices.new_tensor(kernels.alphas)[:, None, None] * matrices
    rows = rearrange(unary, "b l h w -> (b h w) l").contiguous()
    loop = _Loop(kernels, iterations)
    if torch.is_grad_enabled() and (unary.requires_grad or matrices.requires_grad):
        logits = _MeanField.apply(rows, matrices, loop)
    else:
        logits = loop.forward(rows, matrices)
    return rearrange(logits, "(b h w) l -> b l h w", b=len(unary), h=unary.shape[2])


class _Loop:
    """T iterations over the tables of some kernels, on rows [N, L] with matrices A_m [M, L, L]."""

    def __init__(self, kernels: LatticeKernels, iterations: int) -> None:
        self.stack, self.iterations = kernels.stack, iterations
        self.index = kernels.stack.tables.slice_index
        self.splat_weights = kernels.splat_weights.detach().contiguous()
        same = kernels.slice_weights is kernels.splat_weights
        self.slice_weights = self.splat_weights if same else kernels.slice_weights.detach().contiguous()

    def forward(
        self, unary: Tensor, matrices: Tensor, beliefs: list[Tensor] | None = None, blurred: list[Tensor] | None = None
    ) -> Tensor:
        """Logits [N, L]. The lists, where there are any, get the beliefs and the vertices that each iteration used."""
        from crfrnn.gpu import launch  # needs Triton

        current = unary.softmax(1)
        for iteration in range(1, self.iterations + 1):
            vertices = self.stack.blur(self.stack.splat(current, self.splat_weights))
            if blurred is not None:
                blurred.append(vertices)
            if beliefs is not None:
                beliefs.append(current)
                current = torch.empty_like(current)
            vertices = self._multiplied(vertices, matrices.mT)
            launch.update(self.index, vertices, self.slice_weights, unary, current, last=iteration == self.iterations)
        return current

    def backward(
        self, gradient: Tensor, matrices: Tensor, beliefs: list[Tensor], blurred: list[Tensor]
    ) -> tuple[Tensor, Tensor | None]:
        """The gradients of the unary and, where there are blurred vertices, of the matrices."""
        from crfrnn.gpu import launch

        total, negated = gradient.clone(), gradient.neg()
        to_matrices = torch.zeros_like(matrices) if blurred else None
        for step in reversed(range(self.iterations)):
            slopes = self.stack.splat(negated, self.slice_weights)
            if to_matrices is not None:
                for segment, to_matrix in zip(self.stack.segments, to_matrices, strict=True):
                    to_matrix.addmm_(slopes[segment].mT, blurred[step][segment])
            vertices = self.stack.blur(self._multiplied(slopes, matrices), reverse=True)
            launch.update_backward(self.index, vertices, self.splat_weights, beliefs[step], negated, total)
        return total, to_matrices

    def _multiplied(self, vertices: Tensor, matrices: Tensor) -> Tensor:
        """The vertices of every kernel times its matrix."""
        out = torch.empty_like(vertices)
        for segment, matrix in zip(self.stack.segments, matrices, strict=True):
            torch.mm(vertices[segment], matrix, out=out[segment])
        return out


class _MeanField(Function):
    @staticmethod
    def forward(ctx: Any, unary: Tensor, matrices: Tensor, loop: _Loop) -> Tensor:
        beliefs: list[Tensor] = []
        blurred: list[Tensor] = []
        logits = loop.forward(unary, matrices, beliefs, blurred if ctx.needs_input_grad[1] else None)
        ctx.loop = loop
        ctx.save_for_backward(matrices, *beliefs, *blurred)
        return logits

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor | None, None]:
        matrices, *kept = ctx.saved_tensors
        count = ctx.loop.iterations
        return *_Derivative.apply(gradient.contiguous(), matrices, ctx.loop, kept[:count], kept[count:]), None


class _Derivative(Function):
    @staticmethod
    def forward(ctx: Any, *arguments: Any) -> tuple[Tensor, Tensor | None]:
        gradient, matrices, loop, beliefs, blurred = arguments
        return loop.backward(gradient, matrices, beliefs, blurred)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> NoReturn:
        raise RuntimeError(
            "the fused mean field can be differentiated once, not twice; for second derivatives compute in plain torch: set "
            "the environment variable CRFRNN_GPU=torch"
        )
