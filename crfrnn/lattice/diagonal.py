"""The diagonal of the lattice operator: what splat, blur and slice hand from a point back to itself."""

from __future__ import annotations

import torch
from torch import Tensor

from crfrnn.lattice.tables import Tables


def lattice_diagonal(tables: Tables, weights: Tensor, axes: Tensor) -> Tensor:
    """(S^T B S)_ii = sum_pq b_p b_q B_pq over the vertices p, q of the simplex of point i: [M, P], [D, M] -> [M].

    The vertices of a simplex lie on a ring: a step along each of the D + 1 axes in turn leads from vertex to vertex and
    back to the first. The blur moves along every axis at most once, by +1, 0 or -1, and the axes sum to zero, so from q
    to p there are two paths: forward along the axes between q and p on the ring, or backward along the others. The
    blur fixes in which order their steps are taken; a path counts 2^-steps, and nothing where it meets a missing
    vertex. A backward path from q to p is a forward path from p to q in reverse order, so it is enough to walk forward,
    by every length, from every vertex, in both orders.
    """
    count = weights.shape[1]
    ring = _position_on_ring(axes)
    closing = [_reached(tables, ring, start, length) for start in range(count) for length in range(1, count + 1)]
    total = weights.square().sum(1)
    for walk, alive in enumerate(closing):
        start, length = walk // count, walk % count + 1
        total = total + weights[:, start] * weights[:, (start + length) % count] * (alive * 0.5**length)
    return total


def _position_on_ring(axes: Tensor) -> Tensor:
    """Inverse of the order of axes: which step [D + 1, M] of the ring each axis makes; the last axis is the last step."""
    dimensions, points = axes.shape
    steps = torch.arange(dimensions, device=axes.device)[:, None].expand(dimensions, points)
    ring = torch.full((dimensions + 1, points), dimensions, device=axes.device)
    return ring.scatter_(0, axes.long(), steps)


def _reached(tables: Tables, ring: Tensor, start: int, length: int) -> Tensor:
    """Of the paths by `length` steps from vertex `start`, in ascending and in descending axis order, how many exist."""
    count = ring.shape[0]
    taken = (ring - start) % count < length
    alive = torch.zeros_like(ring[0])
    for order in (range(count), range(count - 1, -1, -1)):
        vertex = tables.slice_index[:, start]
        exists = torch.ones_like(taken[0])
        for axis in order:
            following = tables.blur_index[axis, :, 1][vertex]
            exists &= ~taken[axis] | (tables.blur_weights[axis, :, 1][vertex] > 0)
            vertex = torch.where(taken[axis], following, vertex)
        alive += exists
    return alive
