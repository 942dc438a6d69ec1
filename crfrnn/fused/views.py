"""The tensors of the fused mean field as the compiled code sees them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from crfrnn.native.interface import LabelMap, Matrices, Model, padded, pointer, view_tables


def view_model(
    like: Tensor, labels: int, splat_weights: Tensor, slice_weights: Tensor, tables: list[Tensor], segments: list[int]
) -> tuple[Model, Tensor]:
    """The C view of what every iteration uses, and a tensor that has to live as long as it."""
    starts = torch.tensor(segments, device="cpu")
    tables_view = view_tables(tables, segments[-1])
    weights = (pointer(splat_weights), pointer(slice_weights))
    return Model(tables_view, len(like), labels, *weights, len(segments) - 1, pointer(starts)), starts


def view_matrices(matrices: Tensor) -> tuple[Any, ...]:
    """The C view of label matrices [M, from, to], and the tensors that have to live as long as it.

    Where all entries beside the diagonal of a row are equal, as from Potts, or all in a column, as in its transpose, a
    matrix is an outer product with ones plus a diagonal.
    """
    _, labels, to = matrices.shape
    if labels == to > 1:
        for source, transposed in ((matrices, False), (matrices.mT, True)):
            beside = torch.stack([source[:, 0, 1], *(source[:, i, 0] for i in range(1, labels))], 1)
            rest = source - beside[:, :, None]
            diagonal = rest.diagonal(dim1=1, dim2=2)
            if not (rest - torch.diag_embed(diagonal)).any():
                ones = torch.ones_like(beside)
                left, right = (ones, beside) if transposed else (beside, ones)
                parts = [_padded_columns(part[:, None]) for part in (left, right, diagonal)]
                return Matrices(None, *map(pointer, parts)), *parts
    full = _padded_columns(matrices)
    return Matrices(pointer(full), None, None, None), full


def view_map(image: Tensor) -> LabelMap:
    point_stride = image.stride(3) if image.shape[3] > 1 else image.stride(2)
    return LabelMap(pointer(image), image.stride(0), image.stride(1), point_stride)


def with_even_points(image: Tensor) -> Tensor:
    """A map whose pixels follow each other at one distance."""
    height, width = image.shape[2:]
    even = height == 1 or width == 1 or image.stride(2) == width * image.stride(3)
    return image if even else image.contiguous()


def _padded_columns(matrices: Tensor) -> Tensor:
    columns = matrices.shape[2]
    return pad(matrices, (0, padded(columns, matrices.dtype) - columns)).contiguous()
