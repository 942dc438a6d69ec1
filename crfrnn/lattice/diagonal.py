"""The diagonal of the lattice operator: what splat, blur and slice hand from a point back to itself."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from crfrnn.lattice.backends import LatticeTables


def lattice_diagonal(
    tables: LatticeTables, weights: Tensor, axes: Tensor, side_weights: Tensor | None = None
) -> Tensor:
    """(S^T B S)_ii = sum_pq b_p b_q B_pq over the vertices p, q of the simplex of point i: [M, P], [D, M] -> [M].

    The vertices of a simplex lie on a ring: a step along each of the D + 1 axes in turn leads from vertex to vertex and
    back to the first. The blur moves along every axis at most once, by +1, 0 or -1, and the axes sum to zero, so from q
    to p there are two paths: forward along the axes between q and p on the ring, or backward along the others. The
    blur fixes in which order their steps are taken; a path counts the product of the side weights of its axes, that is
    2^-steps where there are none, and nothing where it meets a missing vertex. A backward path from q to p is a forward
    path from p to q in reverse order, so it is enough to walk forward, by every length, from every vertex, in both orders.
    """
    paths = _count_paths(tables).flatten()
    count = weights.shape[1]
    passed = _axes_passed(axes)
    products = None if side_weights is None else _products(side_weights.to(weights))
    coefficients = torch.eye(count, dtype=weights.dtype, device=weights.device).repeat(weights.shape[0], 1, 1)
    for start in range(count):
        vertex = tables.slice_index[:, start]
        for length in range(1, count + 1):
            end = start + length
            taken = passed[end] - passed[start] if end <= count else passed[end - count] - passed[start] + passed[-1]
            found = paths.index_select(0, taken * tables.num_vertices + vertex)
            factor = 0.5**length if products is None else products.index_select(0, taken)
            coefficients[:, start, end % count] += found * factor
    # Not a matrix product, which autocast would round to 16 bits.
    return ((coefficients * weights[:, None]).sum(2) * weights).sum(1)


def _axes_passed(axes: Tensor) -> Tensor:
    """Bit sets [D + 2, M] of the axes along which the ring has stepped before each vertex and after its last step."""
    dimensions, points = axes.shape
    bits = torch.cat([1 << axes.long(), torch.full_like(axes[:1], 1 << dimensions, dtype=torch.int64)])
    return torch.cat([bits.new_zeros(1, points), bits.cumsum(0)])


def _products(side_weights: Tensor) -> Tensor:
    """[2^A] the product of the side weights [A] of each bit set of axes."""
    products = side_weights.new_ones(1)
    for weight in side_weights:
        products = torch.cat([products, products * weight])
    return products


def _count_paths(tables: LatticeTables) -> Tensor:
    """uint8 [2^P, V]: by one step forward along each axis of a bit set, taken in ascending and in descending axis order
    from each vertex, how many of the two paths exist.
    """
    axes, count = tables.next_row.shape
    following = torch.where(tables.next_row < 0, count, tables.next_row)
    following = torch.cat([following, following.new_full((axes, 1), count)], 1)
    paths = torch.zeros(2**axes, count, dtype=torch.uint8, device=following.device)

    def walk(taken: int, vertex: Tensor, order: Sequence[int]) -> None:
        paths[taken] += vertex < count
        for position, axis in enumerate(order):
            walk(taken | 1 << axis, following[axis].index_select(0, vertex), order[position + 1 :])

    everywhere = torch.arange(count, device=following.device)
    walk(0, everywhere, range(axes))
    walk(0, everywhere, range(axes - 1, -1, -1))
    return paths
