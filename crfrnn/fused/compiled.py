"""Mean field and its derivative in compiled CPU code, as operators of torch; mean_field.py has the equations."""

from __future__ import annotations

import ctypes
from typing import Any

import torch
from torch import Tensor

from crfrnn import native
from crfrnn.fused.views import view_map, view_matrices, view_model, with_even_points
from crfrnn.kernels import LatticeKernels
from crfrnn.native.interface import Buffers, Gradients, count, padded, pointer, pointers
from crfrnn.native.operators import operator


def run(
    unary: Tensor,
    kernels: LatticeKernels,
    matrices: Tensor,
    iterations: int,
    tolerance: float | None,
    min_belief: float,
) -> Tensor | None:
    """As `mean_field`; None with both options, and with one where a gradient is wanted."""
    tables: Any = kernels.stack.tables
    weights = (kernels.splat_weights, kernels.slice_weights)
    gradient = torch.is_grad_enabled() and any(each.requires_grad for each in (unary, matrices, *weights))
    options = (tolerance is not None) + (min_belief > 0)
    if native.library(unary.dtype) is None or options > (0 if gradient else 1):
        return None
    start, labels = unary, None
    if min_belief > 0:
        start, labels = present_labels(unary, peak_beliefs(unary) >= min_belief)
    out, _, _ = all_iterations(
        unary,
        start,
        labels,
        matrices.new_tensor(kernels.alphas)[:, None, None] * matrices,
        kernels.splat_weights.contiguous(),
        kernels.slice_weights.contiguous(),
        tables.as_list(),
        [0, *(segment.stop for segment in kernels.stack.segments)],
        iterations,
        -1.0 if tolerance is None else tolerance,
        gradient,
    )
    return out


def present_labels(unary: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
    """The unary of the labels that any image has by `present` [B, L], -inf in images that lack them, and which these are."""
    labels = present.any(0).nonzero().squeeze(1)
    start = unary[:, labels]
    if len(unary) > 1:
        start = start.masked_fill(~present[:, labels, None, None], -torch.inf)
    return start, labels


@operator("mean_field")
def all_iterations(
    unary: Tensor,
    start: Tensor,
    labels: Tensor | None,
    matrices: Tensor,
    splat_weights: Tensor,
    slice_weights: Tensor,
    tables: list[Tensor],
    segments: list[int],
    iterations: int,
    tolerance: float,
    keep: bool,
) -> tuple[Tensor, list[Tensor], list[Tensor]]:
    """Logits; and, to `keep` for the backward pass, T beliefs [N, columns] and T blurred vertices [R, columns].

    `start` holds the unary of the `labels` that take part; where these are None it is `unary` itself.
    """
    unary, start = with_even_points(unary), with_even_points(start)
    inner = matrices.mT if labels is None else matrices.mT[:, labels][:, :, labels]
    final = matrices.mT if labels is None else matrices.mT[:, labels]
    rows, points = segments[-1], tables[0].shape[0]
    columns, final_columns = padded(inner.shape[1], unary.dtype), padded(unary.shape[1], unary.dtype)
    stops = tolerance >= 0
    kept = iterations if keep else 1
    # One by one: the C library hands out again what it had of up to 32 MB, and takes new pages for more, which costs time.
    beliefs = [unary.new_empty(points, columns) for _ in range(kept if keep or stops else 0)]
    blurred = [unary.new_empty(rows, columns) for _ in range(kept)]
    packed, sliced = unary.new_empty(points, columns), unary.new_empty(rows, max(columns, final_columns))
    logits = unary.new_empty(points, columns) if stops else None
    buffers = Buffers(
        pointer(packed),
        pointers(blurred),
        pointer(sliced),
        pointers(beliefs) if beliefs else None,
        pointer(logits),
        keep,
    )
    out = torch.empty(unary.shape, dtype=unary.dtype, device="cpu")
    inner_view, *inner_alive = view_matrices(inner)
    final_view, *final_alive = (inner_view, inner_alive) if labels is None else view_matrices(final)
    model, alive = view_model(unary, inner.shape[1], splat_weights, slice_weights, tables, segments)
    real = ctypes.c_float if unary.dtype == torch.float32 else ctypes.c_double
    _library(unary).native_mean_field(
        ctypes.byref(model), ctypes.byref(view_map(start)), ctypes.byref(view_map(unary)), labels is not None,
        count(iterations), real(tolerance), ctypes.byref(inner_view), ctypes.byref(final_view), count(unary.shape[1]),
        ctypes.byref(view_map(out)),
        ctypes.byref(buffers), torch.get_num_threads(),
    )  # fmt: skip
    del alive, inner_alive, final_alive
    return out, beliefs if keep else [], blurred if keep else []


@operator("mean_field_backward")
def all_iterations_backward(
    gradient: Tensor,
    matrices: Tensor,
    splat_weights: Tensor,
    slice_weights: Tensor,
    tables: list[Tensor],
    segments: list[int],
    beliefs: list[Tensor],
    blurred: list[Tensor],
    to_matrices: bool,
    to_weights: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The gradients of the unary and, if wanted, of the matrices [M, L, L], the splat and the slice weights [N, P]."""
    gradient = with_even_points(gradient)
    points, columns = beliefs[0].shape
    rows, label_count, threads = segments[-1], matrices.shape[1], torch.get_num_threads()
    sliced = gradient.new_empty(rows, columns)
    buffers = Buffers(None, pointers(blurred), pointer(sliced), pointers(beliefs), None, True)
    work, total = gradient.new_empty(rows, columns), gradient.new_empty(points, columns)
    out = torch.empty(gradient.shape, dtype=gradient.dtype, device="cpu")
    parts = gradient.new_zeros(threads if to_matrices else 0, len(matrices), label_count, columns)
    to_splat, to_slice = (torch.zeros_like(each if to_weights else each[:0]) for each in (splat_weights, slice_weights))
    penalties = gradient.new_empty(rows if to_weights else 0, columns)
    model, alive = view_model(gradient, label_count, splat_weights, slice_weights, tables, segments)
    transposed, *transposed_alive = view_matrices(matrices)
    forward, *forward_alive = view_matrices(matrices.mT)
    gradients = Gradients(
        pointer(parts if to_matrices else None),
        *(pointer(each if to_weights else None) for each in (to_splat, to_slice)),
        ctypes.pointer(forward),
        pointer(penalties),
    )
    _library(gradient).native_mean_field_backward(
        ctypes.byref(model), ctypes.byref(view_map(gradient)), count(len(beliefs)), ctypes.byref(transposed),
        ctypes.byref(buffers), pointer(work), pointer(total),
        ctypes.byref(view_map(out)), ctypes.byref(gradients), threads,
    )  # fmt: skip
    del alive, transposed_alive, forward_alive
    to_transposed = parts.sum(0)[..., :label_count]
    to_forward = to_transposed.mT.contiguous() if to_matrices else gradient.new_empty(0)
    return out, to_forward, to_splat, to_slice


def peak_beliefs(unary: Tensor) -> Tensor:
    """The largest softmax(unary) of every label in each image: [B, L, H, W] -> [B, L], without gradient."""
    unary = with_even_points(unary.detach())
    images, labels, height, width = unary.shape
    threads = torch.get_num_threads()
    peaks = unary.new_zeros(threads, images, padded(labels, unary.dtype))
    _library(unary).native_peak_beliefs(
        ctypes.byref(view_map(unary)), count(images), count(height * width), count(labels), pointer(peaks), threads
    )
    return peaks.amax(0)[:, :labels]


@torch.library.register_fake("crfrnn::mean_field")
def _(
    unary: Tensor,
    start: Tensor,
    labels: Tensor | None,
    matrices: Tensor,
    splat_weights: Tensor,
    slice_weights: Tensor,
    tables: list[Tensor],
    segments: list[int],
    iterations: int,
    tolerance: float,
    keep: bool,
) -> tuple[Tensor, list[Tensor], list[Tensor]]:
    out = torch.empty(unary.shape, dtype=unary.dtype, device="cpu")
    if not keep:
        return out, [], []
    columns = padded(unary.shape[1], unary.dtype)
    beliefs = [unary.new_empty(tables[0].shape[0], columns) for _ in range(iterations)]
    return out, beliefs, [unary.new_empty(segments[-1], columns) for _ in range(iterations)]


@torch.library.register_fake("crfrnn::mean_field_backward")
def _(
    gradient: Tensor,
    matrices: Tensor,
    splat_weights: Tensor,
    slice_weights: Tensor,
    tables: list[Tensor],
    segments: list[int],
    beliefs: list[Tensor],
    blurred: list[Tensor],
    to_matrices: bool,
    to_weights: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    out = torch.empty(gradient.shape, dtype=gradient.dtype, device="cpu")
    to_splat, to_slice = (torch.empty_like(each if to_weights else each[:0]) for each in (splat_weights, slice_weights))
    return out, matrices.new_empty(matrices.shape if to_matrices else 0), to_splat, to_slice


def _keep(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, list[Tensor], list[Tensor]]) -> None:
    _, _, _, matrices, splat_weights, slice_weights, ctx.tables, ctx.segments, *_ = inputs
    beliefs, blurred = output[1:]
    ctx.save_for_backward(matrices, splat_weights, slice_weights, *beliefs, *blurred)
    ctx.mark_non_differentiable(*beliefs, *blurred)
    ctx.set_materialize_grads(False)  # which would fill as many zeros


def _backward(ctx: Any, gradient: Tensor | None, *_: Any) -> tuple[Any, ...]:
    nothing = [None] * len(ctx.tables)
    if gradient is None:
        return *[None] * 6, nothing, *[None] * 4
    matrices, splat_weights, slice_weights, *kept = ctx.saved_tensors
    beliefs, blurred = kept[: len(kept) // 2], kept[len(kept) // 2 :]
    need_matrices, *need_weights = ctx.needs_input_grad[3:6]
    to_unary, to_matrices, *to_weights = all_iterations_backward(
        gradient, matrices, splat_weights, slice_weights, ctx.tables, ctx.segments, beliefs, blurred,
        need_matrices, any(need_weights),
    )  # fmt: skip
    to_matrices = to_matrices if need_matrices else None
    to_splat, to_slice = (each if need else None for each, need in zip(to_weights, need_weights, strict=True))
    return to_unary, None, None, to_matrices, to_splat, to_slice, nothing, None, None, None, None


def _differentiate_twice(ctx: Any, *_: Any) -> None:
    raise RuntimeError(
        "the fused mean field can be differentiated once, not twice; compute in plain torch for second derivatives: "
        "call the layer inside `with crfrnn.native.disabled():`"
    )


torch.library.register_autograd("crfrnn::mean_field", _backward, setup_context=_keep)
torch.library.register_autograd("crfrnn::mean_field_backward", _differentiate_twice)


def _library(like: Tensor) -> ctypes.CDLL:
    library = native.library(like.dtype)
    assert library is not None
    return library
