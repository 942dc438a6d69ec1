"""Splat, blur and slice in compiled CPU code, as operators of torch with shapes for tracing and derivatives.

They are the compiled twins of `operators.py`. `tables` is `CompiledTables.as_list()`. Rows of labels are padded to whole
vectors in memory; what comes out is a view without the padding, which the next operator takes without a copy. Gradients flow
to the values, the weights, and, where the tables have them, to the side weights of the blur.
"""

from __future__ import annotations

import ctypes
from typing import Any

import torch
from torch import Tensor

from crfrnn import native
from crfrnn.native.interface import VECTOR_BYTES, count, padded, pointer, pointers, view_tables
from crfrnn.native.operators import operator

SIDE_WEIGHTS = 7
"""their place in the tables"""


def new_rows(like: Tensor, rows: int, channels: int) -> Tensor:
    """Uninitialized rows [rows, channels] each followed by padding."""
    return like.new_empty(rows, padded(channels, like.dtype))[:, :channels]


@operator("splat")
def splat(values: Tensor, weights: Tensor, tables: list[Tensor], rows: int) -> Tensor:
    """out_r = sum over the pairs (i, p) of row r of weights_ip values_i: [M, C], [M, P] -> [R, C]."""
    out = new_rows(values, rows, values.shape[1])
    values, weights = values.contiguous(), weights.contiguous()
    library_for(values.dtype).native_splat(
        ctypes.byref(view_tables(tables, rows)), pointer(values), pointer(weights), count(values.shape[1]), pointer(out),
        torch.get_num_threads(),
    )  # fmt: skip
    return out


@operator("slice")
def slice_(vertices: Tensor, weights: Tensor, tables: list[Tensor]) -> Tensor:
    """out_i = sum_p weights_ip vertices_r(i, p): [R, C], [M, P] -> [M, C]. The adjoint of `splat`."""
    rows, weights = _with_padding(vertices), weights.contiguous()
    out = vertices.new_empty(weights.shape[0], vertices.shape[1])
    library_for(out.dtype).native_slice(
        ctypes.byref(view_tables(tables, len(rows))), pointer(rows), pointer(weights), count(out.shape[1]), pointer(out),
        torch.get_num_threads(),
    )  # fmt: skip
    return out


@operator("blur")
def blur(vertices: Tensor, tables: list[Tensor], reverse: bool) -> Tensor:
    """Along each axis in turn, out_v = in_v + (in_next(v) + in_previous(v)) / 2: [R, C] -> [R, C].

    Tables with side weights have these in place of 1/2.
    """
    out = _padded_copy(vertices)
    library_for(out.dtype).native_blur(
        ctypes.byref(view_tables(tables, len(out))),
        count(out.shape[1]),
        reverse,
        pointer(out),
        torch.get_num_threads(),
    )
    return out


@operator("blur_backward")
def blur_backward(
    vertices: Tensor, gradient: Tensor, tables: list[Tensor], side_weights: Tensor, reverse: bool
) -> tuple[Tensor, Tensor]:
    """The gradients of what was blurred, [R, C], and of the side weights, from that of `blur` [R, C]."""
    rows, out = _with_padding(vertices), _padded_copy(gradient)
    parts, axes = side_weights.shape
    states = rows.new_empty(axes, len(rows), rows.stride(0))
    states[0, :, : rows.shape[1]], states[0, :, rows.shape[1] :] = rows, 0
    to_sides = side_weights.new_zeros(torch.get_num_threads(), parts, axes)
    library_for(out.dtype).native_blur_backward(
        ctypes.byref(view_tables(tables, len(out))), count(out.shape[1]), reverse, count(parts), pointer(states),
        pointer(out), pointer(to_sides), torch.get_num_threads(),
    )  # fmt: skip
    return out, to_sides.sum(0)


@operator("pair_products")
def pair_products(vertices: Tensor, values: Tensor, tables: list[Tensor]) -> Tensor:
    """out_ip = <vertices_r(i, p), values_i>: [R, C], [M, C] -> [M, P]. The gradient of splat and slice to their weights."""
    rows, values = _with_padding(vertices), values.contiguous()
    out = values.new_empty(tables[0].shape)
    library_for(out.dtype).native_pair_products(
        ctypes.byref(view_tables(tables, len(rows))), pointer(rows), pointer(values), count(values.shape[1]),
        pointer(out), torch.get_num_threads(),
    )  # fmt: skip
    return out


def row_sums(weights: Tensor, tables: list[Tensor], rows: int) -> Tensor:
    """Splat, blur and slice of ones [M], without gradient."""
    weights, work, sums = weights.detach().contiguous(), weights.new_empty(rows), weights.new_empty(len(weights))
    library_for(weights.dtype).native_row_sums(
        ctypes.byref(view_tables(tables, rows)),
        pointer(weights),
        pointer(work),
        pointer(sums),
        torch.get_num_threads(),
    )
    return sums


def fold_weights(weights: list[Tensor], factors: list[Tensor | None]) -> Tensor:
    """The columns of all weights [M, P_m] side by side, each times its factor [M] where there is one; without gradient."""
    weights = [each.detach().contiguous() for each in weights]
    factors = [None if each is None else each.detach().contiguous() for each in factors]
    out = weights[0].new_empty(len(weights[0]), sum(each.shape[1] for each in weights))
    library_for(out.dtype).native_fold_weights(
        count(len(out)), count(len(weights)), _widths(weights), pointers(weights), pointers(factors), pointer(out),
        torch.get_num_threads(),
    )  # fmt: skip
    return out


def _widths(tensors: list[Tensor]) -> ctypes.Array[ctypes.c_int64]:
    return (ctypes.c_int64 * len(tensors))(*(each.shape[1] for each in tensors))


def library_for(dtype: torch.dtype) -> ctypes.CDLL:
    library = native.library(dtype)
    if library is None:
        raise RuntimeError(
            f"a lattice that was built by compiled code is used where there is none for {dtype}; build it inside "
            "`native.disabled()` as well"
        )
    return library


def _with_padding(vertices: Tensor) -> Tensor:
    """Rows as the compiled code reads them: `vertices` itself where they came from here, else a copy."""
    stride = padded(vertices.shape[1], vertices.dtype)
    room = vertices.untyped_storage().nbytes() // vertices.dtype.itemsize - vertices.storage_offset()
    if vertices.stride() == (stride, 1) and room >= len(vertices) * stride and vertices.data_ptr() % VECTOR_BYTES == 0:
        return vertices
    return _padded_copy(vertices)


def _padded_copy(vertices: Tensor) -> Tensor:
    out = new_rows(vertices, *vertices.shape)
    if vertices.stride(1) != 1:
        vertices = vertices.contiguous()
    library_for(out.dtype).native_copy_rows(
        pointer(vertices), count(vertices.stride(0)), pointer(out), count(out.shape[1]), count(out.stride(0)),
        count(len(out)), torch.get_num_threads(),
    )  # fmt: skip
    return out


@torch.library.register_fake("crfrnn::splat")
def _(values: Tensor, weights: Tensor, tables: list[Tensor], rows: int) -> Tensor:
    return new_rows(values, rows, values.shape[1])


@torch.library.register_fake("crfrnn::slice")
def _(vertices: Tensor, weights: Tensor, tables: list[Tensor]) -> Tensor:
    return vertices.new_empty(weights.shape[0], vertices.shape[1])


@torch.library.register_fake("crfrnn::blur")
def _(vertices: Tensor, tables: list[Tensor], reverse: bool) -> Tensor:
    return new_rows(vertices, *vertices.shape)


@torch.library.register_fake("crfrnn::blur_backward")
def _(
    vertices: Tensor, gradient: Tensor, tables: list[Tensor], side_weights: Tensor, reverse: bool
) -> tuple[Tensor, Tensor]:
    return new_rows(gradient, *gradient.shape), torch.empty_like(side_weights)


@torch.library.register_fake("crfrnn::pair_products")
def _(vertices: Tensor, values: Tensor, tables: list[Tensor]) -> Tensor:
    return values.new_empty(tables[0].shape)


def _keep_two(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    ctx.save_for_backward(*inputs[:2])
    ctx.tables = next(each for each in inputs if isinstance(each, list))


def _no_gradients(tables: list[Tensor]) -> list[Tensor | None]:
    return [None] * len(tables)


def _splat_backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
    values, weights = ctx.saved_tensors
    to_values = slice_(grad, weights, ctx.tables) if ctx.needs_input_grad[0] else None
    to_weights = pair_products(grad, values, ctx.tables) if ctx.needs_input_grad[1] else None
    return to_values, to_weights, _no_gradients(ctx.tables), None


def _slice_backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
    vertices, weights = ctx.saved_tensors
    to_vertices = splat(grad, weights, ctx.tables, len(vertices)) if ctx.needs_input_grad[0] else None
    to_weights = pair_products(vertices, grad, ctx.tables) if ctx.needs_input_grad[1] else None
    return to_vertices, to_weights, _no_gradients(ctx.tables)


def _pair_products_backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
    vertices, values = ctx.saved_tensors
    to_vertices = splat(values, grad, ctx.tables, len(vertices)) if ctx.needs_input_grad[0] else None
    to_values = slice_(vertices, grad, ctx.tables) if ctx.needs_input_grad[1] else None
    return to_vertices, to_values, _no_gradients(ctx.tables)


def _keep_blur(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    vertices, tables, ctx.reverse = inputs
    learned = [each for each in tables[SIDE_WEIGHTS:] if each.requires_grad]
    ctx.tables = [each.detach() for each in tables] if learned else tables
    ctx.save_for_backward(*([vertices, *learned] if learned else []))


def _blur_backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
    to_tables: list[Tensor | None] = _no_gradients(ctx.tables)
    if not ctx.saved_tensors:
        return blur(grad, ctx.tables, not ctx.reverse), to_tables, None
    vertices, side_weights = ctx.saved_tensors
    to_vertices, to_tables[SIDE_WEIGHTS] = blur_backward(vertices, grad, ctx.tables, side_weights, ctx.reverse)
    return to_vertices, to_tables, None


def _differentiate_twice(ctx: Any, *_: Any) -> None:
    raise RuntimeError(
        "the compiled blur can be differentiated once to its side weights, not twice; compute in plain torch for second "
        "derivatives: call the layer inside `with crfrnn.native.disabled():`"
    )


torch.library.register_autograd("crfrnn::splat", _splat_backward, setup_context=_keep_two)
torch.library.register_autograd("crfrnn::slice", _slice_backward, setup_context=_keep_two)
torch.library.register_autograd("crfrnn::pair_products", _pair_products_backward, setup_context=_keep_two)
torch.library.register_autograd("crfrnn::blur", _blur_backward, setup_context=_keep_blur)
torch.library.register_autograd("crfrnn::blur_backward", _differentiate_twice)
