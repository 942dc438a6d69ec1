"""Packing of integer lattice coordinates, and of the batch index, into one integer per vertex.

Where 63 bits have room for the digits of all coordinates, a key is their number. Where they have not, it is a hash that is
as linear: the sum of the coordinates times odd random numbers, modulo 2^64. Steps add to it as they do to a number, and any
two of V vertices share a key with a probability of the order of V^2 / 2^65: 3e-6 for ten million vertices.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

import torch
from torch import Tensor

from crfrnn import gpu
from crfrnn.lattice.checks import check_extremes, describe_reach, extremes
from crfrnn.lattice.embed import Simplex


@dataclass(frozen=True)
class Packing:
    """Key of vertex n in image b: b strides[0] + sum_i (n_i - origin_i) strides[i + 1], modulo 2^64.

    As digits, every coordinate has room beyond the range of the points, so that a step never carries into its neighbor's.
    """

    origin: list[int]  # [D]
    strides: list[int]  # [1 + D]
    dtype: torch.dtype

    @property
    def steps(self) -> list[int]:
        """What one step along each of the D + 1 axes adds to a key; the last axis is minus the sum of the others."""
        return [*self.strides[1:], _signed(-sum(self.strides[1:]))]

    def pack(self, simplex: Simplex, batch: int) -> Tensor:
        """Keys [B * N, P] of the vertices of every point; the points of one image follow each other."""
        dimensions, points = simplex.axes.shape
        # Filled in on the device: the host would wait for a copy.
        steps = torch.stack([torch.full((), stride, device=simplex.axes.device) for stride in self.strides])
        if gpu.runs(simplex.corner):
            from crfrnn.gpu import embed  # needs Triton

            start = _signed(sum(a * b for a, b in zip(self.origin, self.strides[1:], strict=True)))
            return embed.keys(simplex.corner, simplex.axes, steps, points // batch, start, self.dtype)
        image = torch.arange(batch, device=simplex.axes.device).repeat_interleave(points // batch)
        key = image.mul_(self.strides[0])
        for i in range(dimensions):
            key += simplex.corner[i].long().sub_(self.origin[i]).mul_(self.strides[i + 1])
        keys = torch.empty(points, dimensions + 1, dtype=self.dtype, device=key.device)
        keys[:, 0] = key
        for k in range(dimensions):
            key += steps[simplex.axes[k].long() + 1]
            keys[:, k + 1] = key
        return keys


def plan_packing(lowest: Tensor, highest: Tensor, features: Tensor, dilate: bool) -> Packing:
    """Digits wide enough for the vertices of all simplices, for their neighbors, and for those of the dilated lattice.

    Args:
        lowest, highest: [D] the extreme coordinates of the corners of the simplices.
        features: [B, N, D], for the number of images, the floating type, and a message.

    Raises:
        ValueError: features are not finite, or coordinates too large for their floating-point type to have a fractional
            part; names the feature axis that spans most.
    """
    batch = features.shape[0]
    # Fetched together, since the host waits for a GPU here.
    ends = torch.cat([torch.stack([lowest, highest]), extremes(features)[:, None]], 1)
    low, high = ends.tolist()
    check_extremes(low.pop(), high.pop(), features)
    if max(-min(low), max(high)) * torch.finfo(features.dtype).eps >= 1:
        raise ValueError(describe_reach(features))
    room = 2 if dilate else 1
    origin = [int(bottom) - room for bottom in low]
    # A simplex reaches one step beyond its corner.
    sizes = [int(top - bottom) + 2 + 2 * room for bottom, top in zip(low, high, strict=True)]
    strides = [math.prod(sizes[i:]) for i in range(len(sizes) + 1)]
    if batch * strides[0] >= 2**63:
        return Packing(origin, _hash_factors(len(strides)), torch.int64)
    dtype = torch.int32 if batch * strides[0] < 2**31 else torch.int64  # narrow keys sort and search faster
    return Packing(origin, strides, dtype)


def _hash_factors(count: int) -> list[int]:
    """Odd random numbers of 64 bits, the same in every process."""
    source = random.Random(0)
    return [_signed(source.getrandbits(64) | 1) for _ in range(count)]


def _signed(number: int) -> int:
    """The number that is congruent modulo 2^64 and fits into int64."""
    return (number + 2**63) % 2**64 - 2**63
