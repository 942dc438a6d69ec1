"""The Gaussian filter as it is defined: every point with every other, in tiles of bounded memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from crfrnn import gpu
from crfrnn.lattice.checks import check_features, check_values

# Entries of the largest temporary, over all images: 16 MB in float32 stays in the cache of most CPUs.
TILE_ENTRIES = 2**22


def exact_gaussian_filter(values: Tensor, features: Tensor, *, exclude_self: bool = False) -> Tensor:
    """sum_j exp(-|f_i - f_j|^2 / 2) v_j: values [B, N, C], features [B, N, D] -> [B, N, C].

    O(B N^2 (C + D)) time and O(B N (C + D)) memory, also in the backward, which is differentiable to values and
    features once. Squared distances are sums of squared differences: the expanded product loses them to rounding in
    float32 where features are large and close. With `exclude_self` the sum leaves the term j = i out; to subtract it
    afterwards would lose sums that are small beside it.

    Raises:
        TypeError: not float32 or float64 tensors of one dtype.
        ValueError: shapes or devices do not match, an axis is empty, or entries are not finite.
    """
    check_features(features)
    check_values(values, features.shape[0], features.shape[1], features.dtype, features.device)
    return unchecked_gaussian_filter(values, features, exclude_self)


def unchecked_gaussian_filter(values: Tensor, features: Tensor, exclude_self: bool) -> Tensor:
    """As `exact_gaussian_filter`, for arguments that are known to be right."""
    return _ExactGaussianFilter.apply(values, features, exclude_self)


class _ExactGaussianFilter(Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, features: Tensor, exclude_self: bool) -> Tensor:
        ctx.save_for_backward(values, features)
        ctx.exclude_self = exclude_self
        if _in_triton(features):
            from crfrnn.gpu import attention  # needs Triton

            return attention.gaussian_sums(values, features, exclude_self)
        out = torch.empty_like(values, memory_format=torch.contiguous_format)
        for rows in _row_tiles(features):
            torch.matmul(_kernel(features, rows, exclude_self), values, out=out[:, rows])
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        """With K symmetric: dv = K g, and df_i = sum_j K_ij (<g_i, v_j> + <g_j, v_i>) (f_j - f_i)."""
        values, features = ctx.saved_tensors
        needs_values, needs_features, _ = ctx.needs_input_grad
        if _in_triton(features):
            from crfrnn.gpu import attention

            return (
                attention.gaussian_sums(grad, features, ctx.exclude_self) if needs_values else None,
                attention.feature_slopes(values, grad, features, ctx.exclude_self) if needs_features else None,
                None,
            )
        grad_values = torch.empty_like(grad) if needs_values else None
        grad_features = torch.empty_like(features) if needs_features else None
        for rows in _row_tiles(features):
            kernel = _kernel(features, rows, ctx.exclude_self)
            if grad_values is not None:
                grad_values[:, rows] = kernel @ grad
            if grad_features is not None:
                pull = grad[:, rows] @ values.mT
                pull.baddbmm_(values[:, rows], grad.mT).mul_(kernel)
                for d in range(features.shape[2]):
                    grad_features[:, rows, d] = (pull * _difference(features, rows, d)).sum(2)
        return grad_values, grad_features, None


def _in_triton(features: Tensor) -> bool:
    """Whether tiles are computed in Triton kernels, which are for float32 alone."""
    return features.dtype == torch.float32 and gpu.runs(features)


def _row_tiles(features: Tensor) -> Iterator[slice]:
    """Rows i such that [B, rows, N] temporaries stay within TILE_ENTRIES, or single rows."""
    batch, points, _ = features.shape
    height = max(1, TILE_ENTRIES // (batch * points))
    for start in range(0, points, height):
        yield slice(start, min(start + height, points))


def _kernel(features: Tensor, rows: slice, exclude_self: bool) -> Tensor:
    """exp(-|f_i - f_j|^2 / 2) for i in rows and all j, 0 for j = i if that is left out: [B, rows, N]."""
    exponent = _difference(features, rows, 0).square_()
    for d in range(1, features.shape[2]):
        difference = _difference(features, rows, d)
        exponent.addcmul_(difference, difference)
    kernel = exponent.mul_(-0.5).exp_()
    if exclude_self:
        kernel.diagonal(rows.start, 1, 2).zero_()
    return kernel


def _difference(features: Tensor, rows: slice, d: int) -> Tensor:
    """(f_j - f_i)_d for i in rows and all j: [B, rows, N]."""
    return features[:, None, :, d] - features[:, rows, None, d]
