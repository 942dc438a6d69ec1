"""The tensors that every iteration of the loop reads, and the same padded to one of few sizes. Needs no Triton."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Model(NamedTuple):
    """What every iteration reads, for N points with P pairs each, V vertices of M kernels, and A axes."""

    slice_index: Tensor  # [N, P] the vertices of every point
    part_begin: Tensor  # [parts] where each part of a bag begins among the sorted pairs
    part_start: Tensor  # [V + 1] where the parts of every vertex begin, and end
    pair_point: Tensor  # [N * P] the point of every sorted pair
    neighbors: Tensor  # [A, V, 3]
    splat_weights: Tensor  # [N, P]
    slice_weights: Tensor  # [N, P]
    sorted_splat: Tensor  # [N * P] as the pairs are sorted
    sorted_slice: Tensor  # [N * P]
    stops: Tensor  # [M] where the vertices of every kernel end


def padded_labels(labels: int) -> int:
    """The least number that is at least `labels` and 1, 2 or a multiple of 4, so that a thread loads whole 16 bytes."""
    return labels if labels <= 2 else -(-labels // 4) * 4


def padded_count(vertices: int) -> int:
    """The least number that is at least `vertices` and 5, 6, 7 or 8 times a power of 2; below 8, `vertices`."""
    step = 2 ** max(0, (vertices - 1).bit_length() - 3)
    return -(-vertices // step) * step


def padded(model: Model) -> Model:
    """The same with `padded_count` vertices: those added have no pairs, and no neighbors but themselves."""
    axes, vertices, _ = model.neighbors.shape
    count = padded_count(vertices)
    empty = model.part_begin.new_full((count - vertices,), len(model.pair_point))
    own = torch.arange(vertices, count, dtype=model.neighbors.dtype, device=model.neighbors.device)
    return model._replace(
        part_begin=torch.cat([model.part_begin, empty]),
        part_start=torch.cat([model.part_start, model.part_start[-1:].expand(count - vertices)]),
        neighbors=torch.cat([model.neighbors, own[:, None].expand(axes, -1, 3)], 1),
    )
