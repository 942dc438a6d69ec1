"""The simplices of points, and the keys of their vertices, in one Triton kernel each.

Both round as the code in crfrnn/lattice/embed.py, which has the equations, operation by operation: products and sums are
not fused.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from crfrnn.gpu import INTERPRETED
from crfrnn.gpu.launch import on_device

COMPARED = 2**12 if not INTERPRETED else 2**20
"""bytes of the differences of every two coordinates, which a program that finds simplices has for its points"""
POINTS = 256 if not INTERPRETED else 2**12
"""whose keys a program packs"""


@triton.jit
def _pick(places, entries):
    """The entry i of every row whose place is k, in column k: [rows, columns] twice -> the same."""
    column = tl.arange(0, places.shape[1])
    return tl.sum(tl.where(places[:, None, :] == column[None, :, None], entries[:, None, :], 0), 2)


@triton.jit(do_not_specialize=["count"])
def enclose(
    features, corner, axes, weights, count,
    SCALES: tl.constexpr, LAST: tl.constexpr, COLUMNS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """As `elevate` and `enclosing_simplex`: features [count, LAST] -> corner, axes [LAST, count], weights [count, LAST + 1].

    SCALES are those of the elevation, and COLUMNS > LAST is a power of 2.
    """
    point = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    here = point < count
    axis = tl.arange(0, COLUMNS)
    elevated = tl.zeros([BLOCK, COLUMNS], features.dtype.element_ty)
    tail = tl.zeros([BLOCK], features.dtype.element_ty)
    for j in tl.static_range(LAST, 0, -1):
        scaled = tl.load(features + point * LAST + (j - 1), mask=here, other=0) * SCALES[j - 1]
        elevated = tl.where(axis[None, :] == j, (tail - j * scaled)[:, None], elevated)
        tail += scaled
    elevated = tl.where(axis[None, :] == 0, tail[:, None], elevated)

    quotient = elevated * (1 / (LAST + 1))
    below = tl.floor(quotient)
    rest = quotient - below
    odd = below - 2 * tl.floor(below * 0.5) == 1
    multiples = below + ((rest > 0.5) | ((rest == 0.5) & odd)).to(below.dtype)
    difference = elevated - multiples * (LAST + 1)
    difference = tl.where((axis <= LAST)[None, :], difference, float("-inf"))

    is_last = (axis == LAST)[None, :]
    at_last = tl.sum(tl.where(is_last, difference, 0), 1)[:, None]
    multiple_of_last = tl.sum(tl.where(is_last, multiples, 0), 1)[:, None]
    before_last = (difference >= at_last).to(below.dtype)
    place = axis[None, :].to(tl.int64) * count + point[:, None]
    inner = here[:, None] & (axis < LAST)[None, :]
    tl.store(corner + place, multiple_of_last - multiples - before_last, mask=inner)

    own, other = difference[:, :, None], difference[:, None, :]
    earlier = (axis[None, :] < axis[:, None])[None, :, :]
    rank = tl.sum(((other > own) | ((other == own) & earlier)).to(tl.int32), 2)
    rank_of_last = tl.sum(tl.where(is_last, rank, 0), 1)[:, None]
    # Where the walk over the vertices comes to step along each axis; the last one ends it.
    position = rank_of_last - 1 - rank
    position = tl.where(position < 0, position + LAST + 1, position)
    position = tl.where((axis <= LAST)[None, :], position, -1)
    fraction = (at_last - difference) * (1 / (LAST + 1)) + (rank < rank_of_last).to(below.dtype)
    fraction = tl.where((axis <= LAST)[None, :], fraction, 0)
    before = tl.where((axis == 0)[None, :], 1, _pick(position + 1, fraction))
    mask = here[:, None] & (axis <= LAST)[None, :]
    tl.store(weights + point[:, None] * (LAST + 1) + axis[None, :], before - _pick(position, fraction), mask=mask)
    tl.store(axes + place, _pick(position, tl.zeros_like(position) + axis[None, :]), mask=inner)


@triton.jit(do_not_specialize=["count", "points", "origin"])
def pack_keys(corner, axes, strides, keys, count, points, origin, LAST: tl.constexpr, BLOCK: tl.constexpr):
    """As `Packing.pack`: corner and axes [LAST, count], strides [LAST + 1] -> keys [count, LAST + 1].

    There are so many `points` in an image, and `origin` is the key of the origin.
    """
    point = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    here = point < count
    key = (point // points) * tl.load(strides) - origin
    for i in tl.static_range(LAST):
        coordinate = tl.load(corner + i * count.to(tl.int64) + point, mask=here, other=0).to(tl.int64)
        key += coordinate * tl.load(strides + i + 1)
    tl.store(keys + point * (LAST + 1), key, mask=here)
    for k in tl.static_range(LAST):
        axis = tl.load(axes + k * count.to(tl.int64) + point, mask=here, other=0).to(tl.int32)
        key += tl.load(strides + 1 + axis, mask=here, other=0)
        tl.store(keys + point * (LAST + 1) + k + 1, key, mask=here)


def simplices(features: Tensor, scales: list[float]) -> tuple[Tensor, Tensor, Tensor]:
    """Corners [D, M], axes uint8 [D, M] and weights [M, D + 1] of features [M, D]."""
    count, dimensions = features.shape
    corner = features.new_empty(dimensions, count)
    axes = torch.empty(dimensions, count, dtype=torch.uint8, device=features.device)
    weights = features.new_empty(count, dimensions + 1)
    columns = triton.next_power_of_2(dimensions + 1)
    block = points_together(columns, features.dtype == torch.float64)
    with on_device(features):
        enclose[(triton.cdiv(count, block),)](
            features.contiguous(), corner, axes, weights, count,
            SCALES=tuple(scales), LAST=dimensions, COLUMNS=columns, BLOCK=block, enable_fp_fusion=False,
        )  # fmt: skip
    return corner, axes, weights


def points_together(columns: int, double: bool) -> int:
    """How many points a program finds the simplices of."""
    return max(1, COMPARED // (columns**2 * (8 if double else 4)))


def keys(corner: Tensor, axes: Tensor, strides: Tensor, points: int, origin: int, dtype: torch.dtype) -> Tensor:
    """Keys [M, D + 1] for corners and axes [D, M] and strides [D + 1], that of the images first."""
    dimensions, count = corner.shape
    out = torch.empty(count, dimensions + 1, dtype=dtype, device=corner.device)
    with on_device(corner):
        pack_keys[(triton.cdiv(count, POINTS),)](
            corner, axes, strides, out, count, points, origin, LAST=dimensions, BLOCK=POINTS
        )
    return out
