"""Mean field that computes again only what has changed.

Most pixels settle after two or three iterations, while a few go on changing near the borders of objects. So a pixel *passes
on* its beliefs, that is, splats how much they changed, only where one of them differs from what it passed on last by more
than a limit d. Blur and label matrices then act on the changes alone: both are linear, and what they give is added to the
penalties of the vertices.

A pixel is *updated*, that is, slices its penalty and computes its beliefs, only where these may differ by more than d from
what it passed on. Every vertex v says by how much its penalty moved in the last iteration: m_v = max_l |change of P_v(l)|.
The penalty of pixel i then moved by at most sum_v D_iv m_v, with the weights D of the slice, and pixel i adds this up since
its last update. Where all logits change by at most s, a belief q changes by at most q (1 - q) (exp(2 s) - 1). So a pixel
whose beliefs differ by e from those it passed on, and of whose beliefs the largest is q, waits until the sum exceeds

    r / (2 q (1 - q) + r) <= log(1 + r / (q (1 - q))) / 2,   r = d - e.

A pixel that is sure of its label waits longest. In every iteration, the beliefs that each pixel has passed on differ by at
most d from those that its messages make, and the last iteration gives every pixel its logits. Sums of changes round in
another way than sums of beliefs, which in float32 is some 1e-6 after ten iterations.

Labels may be left out altogether, as `min_belief` does, where their largest beliefs in an image sum to at most d and no
penalty is larger than theirs beside any other label, as with Potts, so that their beliefs do not rise.

The limit d is a message tolerance divided by what beliefs can do to logits: with kernels whose rows sum to 1, beliefs of two
labels that are off by d move a penalty by at most d sum_m max_l (max_l' A_m(l, l') - min_l' A_m(l, l')), with A_m = mu W_m.
"""

from __future__ import annotations

import ctypes
from typing import Any

import torch
from einops import rearrange, reduce
from torch import Tensor

from crfrnn import native
from crfrnn.fused import on_gpu
from crfrnn.fused.compiled import peak_beliefs, present_labels
from crfrnn.fused.views import view_map, view_matrices, view_model, with_even_points
from crfrnn.kernels import LatticeKernels
from crfrnn.native.interface import count

TINY = 1e-30
"""keeps 0 / 0 from a pixel that is sure of its label and has just used up its limit"""


def belief_limit(matrices: Tensor, message_tolerance: float) -> float:
    """d, for label matrices mu W_m [M, L, L]; at most 1, the largest difference of two beliefs."""
    reach = float((matrices.amax(2) - matrices.amin(2)).amax(1).sum())
    return min(1.0, message_tolerance / max(reach, 1e-20))


def labels_that_count(peaks: Tensor, matrices: Tensor, limit: float) -> Tensor:
    """Which labels take part in each image, [B, L], by their largest beliefs [B, L]: all but those that may be left out."""
    own = torch.eye(peaks.shape[1], dtype=torch.bool, device=peaks.device)
    stay_low = ((matrices == matrices.amax(1, keepdim=True)) | own).all(2).all(0)
    least, order = torch.where(stay_low, peaks, torch.inf).sort(1)
    rare = least.cumsum(1) <= limit
    rare[:, -1] = False
    return ~torch.zeros_like(rare).scatter(1, order, rare)


@torch.no_grad()
def in_compiled_code(
    unary: Tensor,
    kernels: LatticeKernels,
    matrices: Tensor,
    iterations: int,
    tolerance: float | None,
    min_belief: float,
    limit: float,
) -> Tensor:
    """As `in_torch`, by compiled code where there is any."""
    library = native.library(unary.dtype)
    tables: Any = kernels.stack.tables
    if library is None:
        return in_torch(unary, kernels, matrices, iterations, tolerance, min_belief, limit)
    start, labels = unary, None
    peaks = peak_beliefs(unary)
    present = (peaks >= min_belief) & labels_that_count(peaks, matrices, limit)
    if not present.all():
        start, labels = present_labels(unary, present)
    unary, start = with_even_points(unary), with_even_points(start)
    transposed = matrices.new_tensor(kernels.alphas)[:, None, None] * matrices.mT
    inner = transposed if labels is None else transposed[:, labels][:, :, labels]
    inner_view, *inner_alive = view_matrices(inner)
    final_view, *final_alive = (inner_view, inner_alive) if labels is None else view_matrices(transposed[:, labels])
    weights = (kernels.splat_weights.contiguous(), kernels.slice_weights.contiguous())
    segments = [0, *(segment.stop for segment in kernels.stack.segments)]
    model, alive = view_model(unary, inner.shape[1], *weights, tables.as_list(), segments)
    out = torch.empty(unary.shape, dtype=unary.dtype, device="cpu")
    real = ctypes.c_float if unary.dtype == torch.float32 else ctypes.c_double
    library.native_incremental_mean_field(
        ctypes.byref(model), ctypes.byref(view_map(start)), ctypes.byref(view_map(unary)), labels is not None,
        count(iterations), real(tolerance or 0), real(limit), ctypes.byref(inner_view), ctypes.byref(final_view),
        count(unary.shape[1]), ctypes.byref(view_map(out)), torch.get_num_threads(),
    )  # fmt: skip
    del alive, inner_alive, final_alive
    return out


def on_any_device(
    unary: Tensor,
    kernels: LatticeKernels,
    matrices: Tensor,
    iterations: int,
    tolerance: float | None,
    min_belief: float,
    limit: float,
) -> Tensor:
    """As `in_torch`; on a GPU with every pixel updated, which is faster there."""
    logits = on_gpu.run(unary, kernels, matrices, iterations, tolerance, min_belief)
    if logits is None:
        return in_torch(unary, kernels, matrices, iterations, tolerance, min_belief, limit)
    return logits


@torch.no_grad()
def in_torch(
    unary: Tensor,
    kernels: LatticeKernels,
    matrices: Tensor,
    iterations: int,
    tolerance: float | None,
    min_belief: float,
    limit: float,
) -> Tensor:
    """Logits [B, L, H, W] with plain tensors: it says what is computed, and saves no time.

    Other arguments as of `mean_field`. Iterations also end as soon as no pixel passes anything on.
    """
    stack, slice_weights = kernels.stack, kernels.slice_weights
    peaks = unary.softmax(1).amax((2, 3))
    present = (peaks >= min_belief) & labels_that_count(peaks, matrices, limit)
    start = _as_rows(unary.masked_fill(~present[:, :, None, None], -torch.inf))

    def penalties(beliefs: Tensor) -> Tensor:
        vertices = stack.blur(stack.splat(beliefs, kernels.splat_weights))
        parts = zip(stack.segments, kernels.alphas, matrices, strict=True)
        return torch.cat([alpha * vertices[segment] @ matrix.mT for segment, alpha, matrix in parts])

    passed_on = start.softmax(1)
    vertices = penalties(passed_on)
    slack = torch.full_like(start[:, 0], -1)
    for _ in range(1, iterations):
        beliefs = (start - stack.slice(vertices, slice_weights)).softmax(1)
        distance = reduce((beliefs - passed_on).abs(), "n l -> n", "max")
        largest = reduce(beliefs, "n l -> n", "max")
        updated = slack < 0
        changed = updated & (distance > limit)
        if not (distance[changed] > (tolerance or 0)).any():
            break
        left = torch.where(changed, limit, limit - distance)
        slack = torch.where(updated, left / (2 * largest * (1 - largest) + left + TINY), slack)
        moved = penalties((beliefs - passed_on) * changed[:, None])
        passed_on = torch.where(changed[:, None], beliefs, passed_on)
        vertices = vertices + moved
        moves = reduce(moved[:, present.any(0)].abs(), "v l -> v 1", "max")
        slack = slack - stack.slice(moves, slice_weights)[:, 0]
    logits = _as_rows(unary) - stack.slice(vertices, slice_weights)
    return rearrange(logits, "(b h w) l -> b l h w", b=len(unary), h=unary.shape[2])


def _as_rows(image: Tensor) -> Tensor:
    return rearrange(image, "b l h w -> (b h w) l")
