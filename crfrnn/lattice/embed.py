"""Where a point sits in the lattice: its coordinates, its simplex and its barycentric weights.

The permutohedral lattice A*_D of Adams, Baek and Davis (2010) has D + 1 axes u_0 .. u_D that sum to zero. Written in the
basis u_0 .. u_{D-1} its vertices are the integer vectors, u_D is (-1, .., -1), and its simplices are those that split the
unit cubes by the order of the fractional parts; NOTES.md has the proof.

The search for the simplex rounds as the released code of Kraehenbuehl and Koltun does, operation by operation: which
simplex a point on the border of several belongs to decides which vertices exist, and some pixels of every photo lie on
borders to within rounding.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor

from crfrnn import gpu


class Simplex(NamedTuple):
    """The simplex that encloses each of M points."""

    corner: Tensor  # [D, M] integer valued floats: its first vertex in lattice coordinates
    axes: Tensor  # [D, M] integers: vertex k + 1 is vertex k plus one step along axes[k]
    weights: Tensor  # [M, D + 1] barycentric weights of the vertices, >= 0 but for rounding, sum 1; differentiable


def elevation_scales(dimensions: int, dtype: torch.dtype) -> list[float]:
    """sqrt(2/3) (D+1) / sqrt((i+1)(i+2)) for i = 0 .. D-1, which makes the filter a Gaussian of standard deviation one.

    The numerator is rounded to the floating type of the features, as in the released code.
    """
    deviation = torch.tensor(math.sqrt(2 / 3) * (dimensions + 1), dtype=dtype, device="cpu").item()
    return [1 / math.sqrt((i + 1) * (i + 2)) * deviation for i in range(dimensions)]


def elevate(features: Tensor) -> Tensor:
    """Features [M, D] in the hyperplane of D + 1 coordinates that sum to zero: [D + 1, M].

    With g_i = f_i scale_i the elevated point is x_0 = sum_k g_k and x_j = sum_{k>=j} g_k - j g_{j-1} (Adams et al. 2010,
    section 3.1). Written with element-wise operations on rows: a matrix product may round differently for another number
    of points, and TF32 would move the points.
    """
    rows, scales = features.unbind(1), elevation_scales(features.shape[1], features.dtype)
    elevated = []
    tail = torch.zeros_like(rows[0])
    for j in range(len(rows), 0, -1):
        scaled = rows[j - 1] * scales[j - 1]
        elevated.append(tail - j * scaled)
        tail = tail + scaled
    return torch.stack([tail, *elevated[::-1]])


def simplices(features: Tensor) -> Simplex:
    """The simplex around each of the points [M, D]; its weights are differentiable to the features."""
    if gpu.runs(features):
        from crfrnn.gpu import embed  # needs Triton

        corner, axes, weights = embed.simplices(features.detach(), elevation_scales(features.shape[1], features.dtype))
        return Simplex(corner, axes, with_gradient(weights, features, axes))
    return enclosing_simplex(elevate(features))


def enclosing_simplex(elevated: Tensor) -> Simplex:
    """The simplex around each of the points with elevated coordinates [D + 1, M].

    Every coordinate x_j is rounded to a multiple of D + 1, and the differences are ranked, larger ones first, ties by
    index. Lattice coordinate i is t_i = (x_D - x_i) / (D+1); its fractional part z_i, in (0, 1], follows from the
    differences. The vertices are the corner of the unit cube and the points reached from it by steps along the axes in
    the order of z_1 >= .. >= z_D, the weights 1 - z_1, z_1 - z_2, .., z_D. Weights are differentiable almost everywhere,
    with the corner and the order held fixed.
    """
    axes_count = elevated.shape[0]
    last = axes_count - 1
    # A reciprocal in the floating type, as a product with it rounds differently from a division.
    reciprocal = torch.ones((), dtype=elevated.dtype, device=elevated.device) / axes_count
    multiples = (elevated.detach() * reciprocal).round()
    difference = elevated - multiples * axes_count

    ranked, order = _descending(difference)
    before_last = difference[:last] >= difference[last]
    corner = multiples[last] - multiples[:last] - before_last.to(elevated.dtype)
    # Ranks in descending cyclic order, from that of the last axis on: a walk over the vertices that ends with that axis.
    rank_of_last = before_last.sum(0)
    ranks = (rank_of_last - 1 - torch.arange(last, device=elevated.device)[:, None]) % axes_count
    wraps = (ranks < rank_of_last).to(elevated.dtype)
    fractions = (difference[last] - ranked.gather(0, ranks)) * reciprocal + wraps
    one, zero = torch.ones_like(fractions[:1]), torch.zeros_like(fractions[:1])
    weights = torch.cat([one, fractions]) - torch.cat([fractions, zero])
    return Simplex(corner, order.gather(0, ranks), weights.T.contiguous())


def _descending(rows: Tensor) -> tuple[Tensor, Tensor]:
    """The columns of `rows` [A, M], each sorted from the largest entry on, ties by index, and where its entries come from.

    A is small: to count the larger entries of each is faster than to sort.
    """
    count = len(rows)
    rank = torch.zeros(rows.shape, dtype=torch.int64, device=rows.device)
    for i, row in enumerate(rows.detach()):
        rank[:i] += row > rows[:i]
        rank[i + 1 :] += row >= rows[i + 1 :]
    index = torch.arange(count, device=rows.device)[:, None].expand_as(rank)
    return torch.zeros_like(rows).scatter(0, rank, rows), torch.zeros_like(rank).scatter_(0, rank, index)


def with_gradient(weights: Tensor, features: Tensor, axes: Tensor) -> Tensor:
    """Barycentric weights [M, D + 1] that were computed elsewhere, with their derivative to the features [M, D].

    Args:
        axes: [D, M], those of the simplices.
    """
    return _Weights.apply(features, weights, axes) if features.requires_grad else weights


class _Weights(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, features: Tensor, weights: Tensor, axes: Tensor) -> Tensor:
        ctx.save_for_backward(axes)
        return weights

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        """Fraction k, (x_D - x_axis(k)) / (D+1), is taken from weight k and given to weight k + 1; x is linear in f."""
        (axes,) = ctx.saved_tensors
        dimensions = len(axes)
        to_fractions = (grad[:, 1:] - grad[:, :-1]) / (dimensions + 1)
        to_first = torch.zeros_like(to_fractions).scatter(1, axes.T.long(), -to_fractions)
        to_elevated = torch.cat([to_first, to_fractions.sum(1, keepdim=True)], 1)
        return to_elevated @ elevate(torch.eye(dimensions, dtype=grad.dtype, device=grad.device)), None, None
