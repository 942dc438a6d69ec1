"""All mean-field iterations, and their derivative, as a few launches each; crfrnn/fused/mean_field.py has the equations.

An iteration splats in two launches, blurs in one for each axis, the last of which multiplies by the label matrices, and
slices, subtracts and normalizes in one more. So does its derivative, in reverse.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from crfrnn.gpu import launch

MOST_MULTIPLIED = 32
"""labels that the blur multiplies by their matrix; more are a matter for a matrix product"""


class Model(NamedTuple):
    """What every iteration reads, for N points with P pairs each, V vertices of M kernels, and A axes."""

    slice_index: Tensor  # [N, P] the vertices of every point
    part_begin: Tensor  # [parts] where each part of a bag begins among the sorted pairs
    first_part: Tensor  # [V] that of every vertex
    pair_point: Tensor  # [N * P] the point of every sorted pair
    neighbors: Tensor  # [A, V, 3]
    splat_weights: Tensor  # [N, P]
    slice_weights: Tensor  # [N, P]
    sorted_splat: Tensor  # [N * P] as the pairs are sorted
    sorted_slice: Tensor  # [N * P]
    stops: Tensor  # [M] where the vertices of every kernel end


class Loop:
    """T iterations on rows [N, L] with matrices A_m [M, L, L]; `segments` are the vertices of every kernel."""

    def __init__(self, model: Model, segments: Sequence[slice], iterations: int) -> None:
        self.model, self.segments, self.iterations = model, segments, iterations

    def forward(
        self, unary: Tensor, matrices: Tensor, beliefs: list[Tensor] | None = None, blurred: list[Tensor] | None = None
    ) -> Tensor:
        """Logits [N, L]. The lists, where there are any, get the beliefs and the vertices that each iteration used."""
        model, matrices = self.model, matrices.mT.contiguous()
        current = unary.softmax(1)
        for iteration in range(1, self.iterations + 1):
            vertices = self._splat(current, model.sorted_splat)
            if blurred is None:
                vertices = self._blur_and_multiply(vertices, matrices, range(len(model.neighbors)))
            else:
                blurred.append(self._blur(vertices, range(len(model.neighbors))))
                vertices = self._multiply(blurred[-1], matrices)
            if beliefs is not None:
                beliefs.append(current)
                current = torch.empty_like(current)
            last = iteration == self.iterations
            launch.update(model.slice_index, vertices, model.slice_weights, unary, current, last)
        return current

    def backward(
        self,
        gradient: Tensor,
        matrices: Tensor,
        beliefs: Sequence[Tensor],
        blurred: Sequence[Tensor],
        to_matrices: Tensor | None,
        to_splat: Tensor | None,
        to_slice: Tensor | None,
    ) -> Tensor:
        """The gradient of the unary. Those to matrices and weights are added to `to_matrices`, `to_splat` and `to_slice`,
        as far as these are there; the first and the last need the blurred vertices.
        """
        model, total, negated = self.model, gradient.clone(), gradient.neg()
        for step in reversed(range(self.iterations)):
            slopes = self._splat(negated, model.sorted_slice)
            if to_matrices is not None:
                for segment, to_matrix in zip(self.segments, to_matrices, strict=True):
                    to_matrix.addmm_(slopes[segment].mT, blurred[step][segment])
            if to_slice is not None:
                sliced = self._multiply(blurred[step], matrices.mT)
                launch.pair_products(model.slice_index, sliced, negated, to_slice)
            vertices = self._blur_and_multiply(slopes, matrices, range(len(model.neighbors))[::-1])
            launch.update_backward(
                model.slice_index, vertices, model.splat_weights, beliefs[step], negated, total, to_splat
            )
        return total

    def _splat(self, rows: Tensor, weights: Tensor) -> Tensor:
        parts = launch.sum_bags(self.model.part_begin, self.model.pair_point, rows, weights)
        whole = len(self.model.first_part) == len(parts)
        return parts if whole else launch.sum_bags(self.model.first_part, None, parts, None)

    def _blur(self, vertices: Tensor, axes: range) -> Tensor:
        for axis in axes:
            vertices = launch.blur_axis(self.model.neighbors[axis], vertices)
        return vertices

    def _blur_and_multiply(self, vertices: Tensor, matrices: Tensor, axes: range) -> Tensor:
        """One is as good before the other: a kernel has one matrix for all its vertices."""
        if matrices.shape[1] > MOST_MULTIPLIED:
            return self._blur(self._multiply(vertices, matrices), axes)
        vertices = self._blur(vertices, axes[:-1])
        return launch.blur_and_multiply(self.model.neighbors[axes[-1]], vertices, self.model.stops, matrices)

    def _multiply(self, vertices: Tensor, matrices: Tensor) -> Tensor:
        """The vertices of every kernel times its matrix."""
        out = torch.empty_like(vertices)
        for segment, matrix in zip(self.segments, matrices, strict=True):
            torch.mm(vertices[segment], matrix, out=out[segment])
        return out
