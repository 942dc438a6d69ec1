"""Sums of few weighted rows, which splat, blur and slice consist of: Triton kernels on a GPU, else `embedding_bag` of torch.

Neither materializes the rows, and both add in the same order in every run.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import embedding_bag

from crfrnn import gpu
from crfrnn.lattice.fallback import missing_on_cpu


def sum_rows(index: Tensor, rows: Tensor, weights: Tensor) -> Tensor:
    """out_i = sum_k weights_ik rows_index(i, k): [M, P], [V, C], [M, P] -> [M, C]."""
    if gpu.runs(rows):
        from crfrnn.gpu import launch  # needs Triton

        return launch.sum_rows(index, rows, weights)
    return _weighted(index, rows.contiguous(), None, weights.contiguous())


def pair_products(index: Tensor, rows: Tensor, values: Tensor) -> Tensor:
    """out_ik = <rows_index(i, k), values_i>: [M, P], [V, C], [M, C] -> [M, P]."""
    if gpu.runs(rows):
        from crfrnn.gpu import launch

        return launch.pair_products(index, rows, values)
    # One corner at a time: the rows of all of them, [M, P, C], would be P times the values.
    return torch.stack([(rows.index_select(0, each) * values).sum(1) for each in index.unbind(1)], 1)


def sum_bags(begin: Tensor, members: Tensor, rows: Tensor, weights: Tensor) -> Tensor:
    """The sums of weights_j rows_members(j) from each entry of `begin` to the next: [bags], [pairs], [M, C] -> [bags, C]."""
    if gpu.runs(rows):
        from crfrnn.gpu import launch

        return launch.sum_bags(begin, members, rows, weights)
    return _weighted(members, rows.contiguous(), begin, weights)


def sum_parts(begin: Tensor, rows: Tensor) -> Tensor:
    """The sums of the rows from each entry of `begin` to the next: [bags], [parts, C] -> [bags, C]."""
    if gpu.runs(rows):
        from crfrnn.gpu import launch

        return launch.sum_bags(begin, None, rows, None)
    every_part = torch.arange(rows.shape[0], dtype=begin.dtype, device=begin.device)
    with missing_on_cpu(rows.device):
        return embedding_bag(every_part, rows, begin, mode="sum")


def blur_axis(neighbors: Tensor, weights: Tensor, vertices: Tensor) -> Tensor:
    """out_v = in_v + (in_next(v) + in_previous(v)) / 2, for rows [V, 3] of v, next and previous: [V, C] -> [V, C]."""
    if gpu.runs(vertices):
        from crfrnn.gpu import launch

        return launch.blur_axis(neighbors, vertices)
    return _weighted(neighbors, vertices, None, weights)


def _weighted(index: Tensor, rows: Tensor, begin: Tensor | None, weights: Tensor) -> Tensor:
    with missing_on_cpu(rows.device):
        return embedding_bag(index, rows, begin, mode="sum", per_sample_weights=weights)
