"""Splat, blur and slice as differentiable linear operators over the tables of a lattice.

All three are sums of few weighted rows, see sums.py. Each is the adjoint of another, so that the backward of every function
below is written with these functions and may itself be differentiated.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import Tensor
from torch.autograd import Function

from crfrnn import gpu
from crfrnn.lattice import sums

if TYPE_CHECKING:
    from crfrnn.lattice.tables import Tables


def splat(tables: Tables, values: Tensor, weights: Tensor) -> Tensor:
    """out_v = sum over the pairs (i, p) of vertex v of weights_ip values_i: [M, C], [M, P] -> [V, C]."""
    return _Splat.apply(tables, values, weights)


def blur(tables: Tables, vertices: Tensor, *, reverse: bool = False) -> Tensor:
    """Along each axis in turn, out_v = in_v + (in_next(v) + in_previous(v)) / 2: [V, C] -> [V, C].

    Axes do not commute where vertices are missing; the adjoint takes them in reverse.
    """
    return _Blur.apply(tables, vertices, reverse)


def slice_(tables: Tables, vertices: Tensor, weights: Tensor) -> Tensor:
    """out_i = sum_p weights_ip vertices_v(i, p): [V, C], [M, P] -> [M, C]. The adjoint of `splat`."""
    return _Slice.apply(tables, vertices, weights)


def pair_products(tables: Tables, vertices: Tensor, values: Tensor) -> Tensor:
    """out_ip = <vertices_v(i, p), values_i>: [V, C], [M, C] -> [M, P].

    The gradient of splat and slice to their weights.
    """
    return _PairProducts.apply(tables, vertices, values)


class _Splat(Function):
    @staticmethod
    def forward(ctx: Any, tables: Tables, values: Tensor, weights: Tensor) -> Tensor:
        ctx.tables = tables
        ctx.save_for_backward(values if ctx.needs_input_grad[2] else None, weights)
        return _sum_bags(tables, values, tables.sorted_weights(weights), in_parts=values.is_cuda or gpu.runs(values))

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        values, weights = ctx.saved_tensors
        _, needs_values, needs_weights = ctx.needs_input_grad
        return (
            None,
            slice_(ctx.tables, grad, weights) if needs_values else None,
            pair_products(ctx.tables, grad, values) if needs_weights else None,
        )


class _Blur(Function):
    @staticmethod
    def forward(ctx: Any, tables: Tables, vertices: Tensor, reverse: bool) -> Tensor:
        ctx.tables, ctx.reverse = tables, reverse
        axes = zip(tables.blur_index, tables.blur_weights, strict=True)
        vertices = vertices.contiguous()
        for index, weights in reversed(list(axes)) if reverse else axes:
            vertices = sums.blur_axis(index, weights, vertices)
        return vertices

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        return None, blur(ctx.tables, grad, reverse=not ctx.reverse), None


class _Slice(Function):
    @staticmethod
    def forward(ctx: Any, tables: Tables, vertices: Tensor, weights: Tensor) -> Tensor:
        ctx.tables = tables
        ctx.save_for_backward(vertices if ctx.needs_input_grad[2] else None, weights)
        return sums.sum_rows(tables.slice_index, vertices, weights)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        vertices, weights = ctx.saved_tensors
        _, needs_vertices, needs_weights = ctx.needs_input_grad
        return (
            None,
            splat(ctx.tables, grad, weights) if needs_vertices else None,
            pair_products(ctx.tables, vertices, grad) if needs_weights else None,
        )


class _PairProducts(Function):
    @staticmethod
    def forward(ctx: Any, tables: Tables, vertices: Tensor, values: Tensor) -> Tensor:
        ctx.tables = tables
        ctx.save_for_backward(vertices, values)
        return sums.pair_products(tables.slice_index, vertices, values)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        vertices, values = ctx.saved_tensors
        _, needs_vertices, needs_values = ctx.needs_input_grad
        return (
            None,
            splat(ctx.tables, values, grad) if needs_vertices else None,
            slice_(ctx.tables, vertices, grad) if needs_values else None,
        )


def _sum_bags(tables: Tables, values: Tensor, sorted_weights: Tensor, *, in_parts: bool) -> Tensor:
    """The weighted values [M, C] of the pairs of each vertex, summed: [V, C].

    A vertex in a flat sky has thousands of pairs, and a GPU sums each bag in one thread: there, first in short parts.
    """
    begin, first_part = tables.parts if in_parts else (tables.bag_start, None)
    parts = sums.sum_bags(begin, tables.pair_point, values, sorted_weights)
    return parts if first_part is None or len(first_part) == len(parts) else sums.sum_parts(first_part, parts)
