"""Packing of integer lattice coordinates, and of the batch index, into one integer per vertex."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from crfrnn.lattice.embed import Simplex


@dataclass(frozen=True)
class Packing:
    """Key of vertex n in image b: b strides[0] + sum_i (n_i - origin_i) strides[i + 1].

    Every coordinate has room beyond the range of the points, so that a step never carries into its neighbor's digits.
    """

    origin: list[int]  # [D]
    strides: list[int]  # [1 + D]
    dtype: torch.dtype

    @property
    def steps(self) -> list[int]:
        """What one step along each of the D + 1 axes adds to a key; the last axis is minus the sum of the others."""
        return [*self.strides[1:], -sum(self.strides[1:])]

    def pack(self, simplex: Simplex, batch: int) -> Tensor:
        """Keys [B * N, P] of the vertices of every point; the points of one image follow each other."""
        dimensions, points = simplex.axes.shape
        image = torch.arange(batch, device=simplex.axes.device).repeat_interleave(points // batch)
        key = image.mul_(self.strides[0])
        for i in range(dimensions):
            key += simplex.corner[i].long().sub_(self.origin[i]).mul_(self.strides[i + 1])
        steps = torch.tensor(self.strides[1:], device=key.device)
        keys = torch.empty(points, dimensions + 1, dtype=self.dtype, device=key.device)
        keys[:, 0] = key
        for k in range(dimensions):
            key += steps[simplex.axes[k]]
            keys[:, k + 1] = key
        return keys


def plan_packing(lowest: Tensor, highest: Tensor, features: Tensor, dilate: bool) -> Packing:
    """Digits wide enough for the vertices of all simplices, for their neighbors, and for those of the dilated lattice.

    Args:
        lowest, highest: [D] the extreme coordinates of the corners of the simplices.
        features: [B, N, D], for the number of images, the floating type, and a message.

    Raises:
        ValueError: the coordinates do not fit into 63 bits, or are too large for their floating-point type to have a
            fractional part; names the feature axis that spans most.
    """
    batch = features.shape[0]
    low, high = torch.stack([lowest, highest]).double().tolist()
    room = 2 if dilate else 1
    # A simplex reaches one step beyond its corner.
    ranges = [top - bottom + 2 + 2 * room for bottom, top in zip(low, high, strict=True)]
    largest = max(-min(low), max(high))
    bits = math.log2(batch) + sum(math.log2(size) for size in ranges)
    if bits >= 63 or largest * torch.finfo(features.dtype).eps >= 1:
        raise ValueError(_describe_overflow(features, bits))
    sizes = [int(size) for size in ranges]
    strides = [math.prod(sizes[i:]) for i in range(len(sizes) + 1)]
    dtype = torch.int32 if batch * strides[0] < 2**31 else torch.int64  # narrow keys sort and search faster
    return Packing([int(bottom) - room for bottom in low], strides, dtype)


def _describe_overflow(features: Tensor, bits: float) -> str:
    low, high = features.detach().amin((0, 1)), features.detach().amax((0, 1))
    spans = (high.double() - low.double()).tolist()
    reach = torch.maximum(low.abs(), high.abs())
    axis = max(range(len(spans)), key=lambda i: (spans[i], reach[i].item()))
    listed = ", ".join(f"{span:.3g}" for span in spans)
    return (
        f"features span too much for lattice keys of 63 bits ({bits:.0f} needed) or for the precision of "
        f"{features.dtype}: feature axis {axis} spans {spans[axis]:.3g} standard deviations, from {low[axis]:.3g} to "
        f"{high[axis]:.3g} (all axes: {listed}); enlarge the bandwidth that axis {axis} is divided by"
    )
