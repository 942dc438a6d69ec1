"""Triton kernels of the exact Gaussian filter: attention whose weights exp(-|f_i - f_j|^2 / 2) are never stored.

They are computed in tiles, from differences of features: the expanded product would lose small distances to rounding.

A program takes ROWS points of one image and passes over all points, COLUMNS at a time; sums run in one fixed order.
"""

from __future__ import annotations

import math

import torch
import triton
import triton.language as tl
from torch import Tensor

from crfrnn.gpu.launch import on_device

# Of tiles that stay in registers, the fastest: those of sums, and those of slopes.
ROWS, COLUMNS, WARPS = 64, 64, 8
SLOPE_ROWS, SLOPE_COLUMNS, SLOPE_WARPS = 32, 32, 4
LOG2 = tl.constexpr(-0.5 / math.log(2))
"""exp(-x / 2) = 2^(LOG2 x)"""
FEWEST_CHANNELS, MOST_CHANNELS = 16, 32


@triton.jit
def _squared_distances(
    features, i, j, rows, columns, DIMENSIONS: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr
):
    """|f_i - f_j|^2 [ROWS, COLUMNS] of features [points, DIMENSIONS]."""
    total = tl.zeros([ROWS, COLUMNS], features.dtype.element_ty)
    for d in tl.static_range(DIMENSIONS):
        left = tl.load(features + i * DIMENSIONS + d, mask=rows, other=0)
        right = tl.load(features + j * DIMENSIONS + d, mask=columns, other=0)
        difference = right[None, :] - left[:, None]
        total += difference * difference
    return total


@triton.jit(do_not_specialize=["points"])
def filter_exactly(
    features, values, out, points, channels,
    EXCLUDE_SELF: tl.constexpr, DIMENSIONS: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
    CHANNELS: tl.constexpr,
):  # fmt: skip
    """out_i = sum_j exp(-|f_i - f_j|^2 / 2) v_j: features [B, points, DIMENSIONS], values and out [B, points, channels]."""
    image = tl.program_id(2).to(tl.int64) * points
    i = image + tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    end = image + points
    c = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    rows, shown = i < end, c < channels
    total = tl.zeros([ROWS, CHANNELS], out.dtype.element_ty)
    for start in range(0, points, COLUMNS):
        j = image + start + tl.arange(0, COLUMNS)
        columns = j < end
        weight = tl.exp2(_squared_distances(features, i, j, rows, columns, DIMENSIONS, ROWS, COLUMNS) * LOG2)
        if EXCLUDE_SELF:
            weight = tl.where(i[:, None] == j[None, :], 0, weight)
        value = tl.load(values + j[:, None] * channels + c[None, :], mask=columns[:, None] & shown[None, :], other=0)
        total += tl.dot(weight, value, input_precision="ieee", out_dtype=out.dtype.element_ty)
    tl.store(out + i[:, None] * channels + c[None, :], total, mask=rows[:, None] & shown[None, :])


@triton.jit(do_not_specialize=["points"])
def pull_features(
    features, left, right, out, points, channels,
    EXCLUDE_SELF: tl.constexpr, DIMENSIONS: tl.constexpr, PADDED: tl.constexpr, ROWS: tl.constexpr,
    COLUMNS: tl.constexpr, CHANNELS: tl.constexpr,
):  # fmt: skip
    """out_i = sum_j exp(-|f_i - f_j|^2 / 2) <left_i, right_j> (f_j - f_i); PADDED >= DIMENSIONS is a power of 2."""
    image = tl.program_id(1).to(tl.int64) * points
    i = image + tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    end = image + points
    rows = i < end
    axis = tl.arange(0, PADDED)
    total = tl.zeros([ROWS, PADDED], out.dtype.element_ty)
    for start in range(0, points, COLUMNS):
        j = image + start + tl.arange(0, COLUMNS)
        columns = j < end
        pull = tl.zeros([ROWS, COLUMNS], out.dtype.element_ty)
        for first in range(0, channels, CHANNELS):
            c = first + tl.arange(0, CHANNELS)
            here, there = rows[:, None] & (c < channels)[None, :], columns[None, :] & (c < channels)[:, None]
            own = tl.load(left + i[:, None] * channels + c[None, :], mask=here, other=0)
            other = tl.load(right + j[None, :] * channels + c[:, None], mask=there, other=0)
            pull += tl.dot(own, other, input_precision="ieee", out_dtype=out.dtype.element_ty)
        weight = tl.exp2(_squared_distances(features, i, j, rows, columns, DIMENSIONS, ROWS, COLUMNS) * LOG2)
        if EXCLUDE_SELF:
            weight = tl.where(i[:, None] == j[None, :], 0, weight)
        pull *= weight
        for d in tl.static_range(DIMENSIONS):
            here = tl.load(features + i * DIMENSIONS + d, mask=rows, other=0)
            there = tl.load(features + j * DIMENSIONS + d, mask=columns, other=0)
            slope = tl.sum(pull * (there[None, :] - here[:, None]), 1)
            total += tl.where(axis[None, :] == d, slope[:, None], 0)
    mask = rows[:, None] & (axis < DIMENSIONS)[None, :]
    tl.store(out + i[:, None] * DIMENSIONS + axis[None, :], total, mask=mask)


def gaussian_sums(values: Tensor, features: Tensor, exclude_self: bool) -> Tensor:
    """sum_j exp(-|f_i - f_j|^2 / 2) v_j: values [B, N, C], features [B, N, D] -> [B, N, C]."""
    values, features = values.contiguous(), features.contiguous()
    batch, points, channels = values.shape
    out = torch.empty_like(values)
    block = _channels(channels)
    with on_device(values):
        filter_exactly[(triton.cdiv(points, ROWS), triton.cdiv(channels, block), batch)](
            features, values, out, points, channels,
            EXCLUDE_SELF=exclude_self, DIMENSIONS=features.shape[2], ROWS=ROWS, COLUMNS=COLUMNS, CHANNELS=block,
            num_warps=WARPS,
        )  # fmt: skip
    return out


def feature_slopes(values: Tensor, slopes: Tensor, features: Tensor, exclude_self: bool) -> Tensor:
    """The gradient [B, N, D] to the features, for slopes g [B, N, C] to what `gaussian_sums` gives.

    It is df_i = sum_j exp(-|f_i - f_j|^2 / 2) (<g_i, v_j> + <v_i, g_j>) (f_j - f_i).
    """
    left, right, features = torch.cat([slopes, values], 2), torch.cat([values, slopes], 2), features.contiguous()
    batch, points, channels = left.shape
    out = torch.empty_like(features)
    dimensions = features.shape[2]
    with on_device(values):
        pull_features[(triton.cdiv(points, SLOPE_ROWS), batch)](
            features, left, right, out, points, channels,
            EXCLUDE_SELF=exclude_self, DIMENSIONS=dimensions, PADDED=max(2, triton.next_power_of_2(dimensions)),
            ROWS=SLOPE_ROWS, COLUMNS=SLOPE_COLUMNS, CHANNELS=FEWEST_CHANNELS, num_warps=SLOPE_WARPS,
        )  # fmt: skip
    return out


def _channels(channels: int) -> int:
    """Columns of a block of values: a power of 2 that a product of blocks takes."""
    return min(MOST_CHANNELS, max(FEWEST_CHANNELS, triton.next_power_of_2(channels)))
