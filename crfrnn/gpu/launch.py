"""The Triton kernels as functions of tensors, in the shapes that crfrnn/lattice/operators.py gives them."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor
from triton import cdiv, next_power_of_2

from crfrnn.gpu import INTERPRETED, kernels

MOST_COLUMNS = 64
# Of a block: rows times columns. The smaller, the more programs wait for rows from all over the memory at a time. The
# interpreter takes its time for every program, however large.
GATHERED = 256 if not INTERPRETED else 2**16
STREAMED = 512 if not INTERPRETED else 2**16
GATHERING = 2
"""warps of a program that gathers"""
MULTIPLIED = 1024 if not INTERPRETED else 2**16
SMALLEST_PRODUCT = 16
"""rows and columns of a product of blocks"""


def sum_rows(index: Tensor, rows: Tensor, weights: Tensor) -> Tensor:
    """out_i = sum_k weights_ik rows_index(i, k): [M, P], [V, C], [M, P] -> [M, C]."""
    out = rows.new_empty(index.shape[0], rows.shape[1])
    block, columns, grid = _blocks(out, GATHERED)
    with on_device(rows):
        kernels.sum_rows[grid](
            index.contiguous(), weights.contiguous(), rows.contiguous(), out, len(out),
            CHANNELS=out.shape[1], WIDTH=index.shape[1], BLOCK=block, COLUMNS=columns, num_warps=GATHERING,
        )  # fmt: skip
    return out


def pair_products(index: Tensor, rows: Tensor, values: Tensor, total: Tensor | None = None) -> Tensor:
    """out_ik = <rows_index(i, k), values_i>, added to `total` where there is one: [M, P], [V, C], [M, C] -> [M, P]."""
    out = rows.new_empty(index.shape) if total is None else total
    block, columns, (programs, _) = _blocks(values, GATHERED)
    with on_device(rows):
        kernels.pair_products[(programs,)](
            index.contiguous(), rows.contiguous(), values.contiguous(), out, len(values),
            CHANNELS=values.shape[1], ADD=total is not None, WIDTH=index.shape[1], BLOCK=block, COLUMNS=columns,
            num_warps=GATHERING,
        )  # fmt: skip
    return out


def sum_bags(begin: Tensor, members: Tensor, rows: Tensor, weights: Tensor) -> Tensor:
    """The sums of weights_j rows_members(j) from each entry of `begin` to the next: [bags], [pairs] -> [bags, C]."""
    return _sum_bags(begin, members, rows, weights, bags=len(begin), pairs=len(members), listed=True)


def sum_parts(start: Tensor, rows: Tensor) -> Tensor:
    """The sums of the rows from each entry of `start` to the next: [bags + 1], [parts, C] -> [bags, C]."""
    return _sum_bags(start, start, rows, rows, bags=len(start) - 1, pairs=len(rows), listed=False)


def _sum_bags(
    begin: Tensor, members: Tensor, rows: Tensor, weights: Tensor, bags: int, pairs: int, listed: bool
) -> Tensor:
    out = rows.new_empty(bags, rows.shape[1])
    block, columns, grid = _blocks(out, GATHERED)
    with on_device(rows):
        kernels.sum_bags[grid](
            begin, members, weights, rows.contiguous(), out, bags, pairs,
            CHANNELS=out.shape[1], LISTED=listed, BLOCK=block, COLUMNS=columns, num_warps=GATHERING,
        )  # fmt: skip
    return out


def blur_axis(neighbors: Tensor, vertices: Tensor) -> Tensor:
    """out_v = in_v + (in_next(v) + in_previous(v)) / 2: [V, 3], [V, C] -> [V, C]."""
    out = torch.empty_like(vertices)
    block, columns, grid = _blocks(out, STREAMED)
    with on_device(vertices):
        kernels.blur_axis[grid](neighbors, vertices, out, len(out), CHANNELS=out.shape[1], BLOCK=block, COLUMNS=columns)
    return out


def blur_and_multiply(neighbors: Tensor, vertices: Tensor, stops: Tensor, matrices: Tensor) -> Tensor:
    """`blur_axis`, then the rows of every kernel m, which end at stops[m], times matrices[m]: [V, L] -> [V, L]."""
    out = torch.empty_like(vertices)
    columns = max(SMALLEST_PRODUCT, next_power_of_2(vertices.shape[1]))
    block = max(SMALLEST_PRODUCT, MULTIPLIED // columns)
    with on_device(vertices):
        kernels.blur_and_multiply[(cdiv(len(vertices), block),)](
            neighbors, vertices, stops, matrices.contiguous(), out, len(out),
            LABELS=out.shape[1], KERNELS=len(matrices), BLOCK=block, COLUMNS=columns,
        )  # fmt: skip
    return out


def update(index: Tensor, vertices: Tensor, weights: Tensor, unary: Tensor, out: Tensor, last: bool) -> None:
    """Write the logits of the `last` iteration, or the beliefs of another, to `out`; vertices [V, L], unary [N, L]."""
    block, columns = _all_labels(unary)
    with on_device(unary):
        kernels.update[(cdiv(len(unary), block),)](
            index, weights, vertices, unary, out, out, len(unary),
            LABELS=unary.shape[1], LAST=last, WIDTH=index.shape[1], BLOCK=block, COLUMNS=columns, num_warps=GATHERING,
        )  # fmt: skip


def update_backward(
    index: Tensor, vertices: Tensor, weights: Tensor, beliefs: Tensor, negated: Tensor, total: Tensor,
    to_weights: Tensor | None,
) -> None:  # fmt: skip
    """From the derivative to `beliefs` [N, L], sliced from vertices [V, L], that to their logits: -g to `negated`, and
    added to `total`. `to_weights`, if any, gets that to `weights` added.
    """
    learned = to_weights is not None
    block, columns = _all_labels(beliefs)
    with on_device(beliefs):
        kernels.update_backward[(cdiv(len(beliefs), block),)](
            index, weights, vertices, beliefs, negated, total, to_weights if learned else total, len(beliefs),
            LABELS=beliefs.shape[1], LEARNED=learned, WIDTH=index.shape[1], BLOCK=block, COLUMNS=columns,
            num_warps=GATHERING,
        )  # fmt: skip


def _all_labels(pixels: Tensor) -> tuple[int, int]:
    """Rows and columns of a block that holds all labels of its pixels [N, L]."""
    columns = max(2, next_power_of_2(pixels.shape[1]))
    return max(1, GATHERED // columns), columns


def _blocks(out: Tensor, elements: int) -> tuple[int, int, tuple[int, int]]:
    """Rows and columns of a block, and the grid of blocks that covers `out`."""
    columns = min(MOST_COLUMNS, max(2, next_power_of_2(out.shape[1])))
    block = max(1, elements // columns)
    return block, columns, (cdiv(out.shape[0], block), cdiv(out.shape[1], columns))


def on_device(tensor: Tensor) -> AbstractContextManager[object]:
    """Triton launches on the current device, which need not be that of the tensor."""
    elsewhere = tensor.is_cuda and tensor.device.index != torch.cuda.current_device()
    return torch.cuda.device(tensor.device) if elsewhere else nullcontext()
