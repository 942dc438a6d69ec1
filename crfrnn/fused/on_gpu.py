"""All mean-field iterations, and their derivative, in the Triton kernels of crfrnn/gpu."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

import torch
from einops import rearrange
from torch import Tensor
from torch.autograd import Function
from torch.nn.functional import pad

from crfrnn import gpu
from crfrnn.gpu.model import padded_labels
from crfrnn.kernels import LatticeKernels
from crfrnn.lattice.tables import Tables

if TYPE_CHECKING:
    from crfrnn.gpu.loop import Loop

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
    """As `mean_field`; None with an option, and with side weights."""
    if kernels.stack.tables.side_weights is not None:
        return None
    if not gpu.runs(unary) or tolerance is not None or min_belief > 0 or unary.shape[1] > MOST_LABELS:
        return None
    matrices = torch.stack([alpha * matrix for alpha, matrix in zip(kernels.alphas, matrices, strict=True)])
    labels = unary.shape[1]
    more = padded_labels(labels) - labels
    matrices = pad(matrices, (0, more, 0, more))
    # Labels that nobody believes in.
    rows = pad(rearrange(unary, "b l h w -> (b h w) l"), (0, more), value=-torch.inf).contiguous()
    given = (rows, matrices, kernels.splat_weights, kernels.slice_weights)
    loop = _loop(kernels, iterations)
    if torch.is_grad_enabled() and any(each.requires_grad for each in given):
        logits = _MeanField.apply(*given, loop)
    else:
        logits = _inferred(loop, rows, matrices)
    return rearrange(logits[:, :labels], "(b h w) l -> b l h w", b=len(unary), h=unary.shape[2])


def _inferred(loop: Loop, rows: Tensor, matrices: Tensor) -> Tensor:
    from crfrnn.gpu import graph
    from crfrnn.gpu.loop import MOST_MULTIPLIED

    replayed = gpu.choice() == "graph" and rows.shape[1] <= MOST_MULTIPLIED
    return graph.forward(loop, rows, matrices) if replayed else loop.forward(rows, matrices)


def _loop(kernels: LatticeKernels, iterations: int) -> Loop:
    from crfrnn.gpu.loop import Loop  # needs Triton
    from crfrnn.gpu.model import Model

    stack = kernels.stack
    tables = stack.tables
    assert isinstance(tables, Tables)
    splat_weights, slice_weights = (
        each.detach().contiguous() for each in (kernels.splat_weights, kernels.slice_weights)
    )
    sorted_splat = tables.sorted_weights(kernels.splat_weights)
    same = kernels.slice_weights is kernels.splat_weights
    model = Model(
        tables.slice_index, *tables.parts, tables.pair_point, tables.blur_index,
        splat_weights, splat_weights if same else slice_weights,
        sorted_splat, sorted_splat if same else tables.sorted_weights(kernels.slice_weights),
        # Made on the device: a copy from the host would wait for it.
        torch.stack([tables.bag_start.new_full((), segment.stop) for segment in stack.segments]),
    )  # fmt: skip
    return Loop(model, stack.segments, iterations)


class _MeanField(Function):
    @staticmethod
    def forward(
        ctx: Any, unary: Tensor, matrices: Tensor, splat_weights: Tensor, slice_weights: Tensor, loop: Loop
    ) -> Tensor:
        beliefs: list[Tensor] = []
        _, needs_matrices, _, needs_slice, _ = ctx.needs_input_grad
        blurred: list[Tensor] | None = [] if needs_matrices or needs_slice else None
        logits = loop.forward(unary, matrices, beliefs, blurred)
        ctx.loop = loop
        ctx.save_for_backward(matrices, *beliefs, *(blurred or []))
        return logits

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        matrices, *kept = ctx.saved_tensors
        return *_Derivative.apply(gradient.contiguous(), matrices, ctx.loop, kept, ctx.needs_input_grad[1:4]), None


class _Derivative(Function):
    @staticmethod
    def forward(
        ctx: Any, gradient: Tensor, matrices: Tensor, loop: Loop, kept: list[Tensor], needed: tuple[bool, ...]
    ) -> tuple[Tensor | None, ...]:
        """The gradients of unary, matrices, splat and slice weights, the last three if needed."""
        variables = (matrices, loop.model.splat_weights, loop.model.slice_weights)
        totals = [torch.zeros_like(each) if need else None for each, need in zip(variables, needed, strict=True)]
        beliefs, blurred = kept[: loop.iterations], kept[loop.iterations :]
        return loop.backward(gradient, matrices, beliefs, blurred, *totals), *totals

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> NoReturn:
        raise RuntimeError(
            "the fused mean field can be differentiated once, not twice; for second derivatives compute in plain torch: set "
            "the environment variable CRFRNN_GPU=torch"
        )
