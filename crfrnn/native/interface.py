"""The C interface of the compiled code in Python: its structures, field by field, and how tensors are handed over.

A change of a structure in a header is a change of its twin here, and of nothing else.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence

import torch
from torch import Tensor

VECTOR_BYTES = 32  # as in vectors.h


class Tables(ctypes.Structure):
    """`Tables` of native/splat_slice.h."""

    _fields_ = [
        *((name, ctypes.c_int64) for name in ("points", "corners", "rows", "chunks", "spills", "axes")),
        *(
            (name, ctypes.c_void_p)
            for name in (
                "index", "chunk_start", "spill_rows", "spill_owners", "axis_runs", "run_start", "members",
                "side_weights", "part_stop",
            )
        ),
    ]  # fmt: skip


def view_tables(tables: list[Tensor], rows: int) -> Tables:
    """The C view of `tables`, valid for as long as they live; those of the side weights may be missing."""
    index, chunk_start, spill_rows, _, axis_runs = tables[:5]
    sizes = (*index.shape, rows, len(chunk_start) - 1, len(spill_rows), len(axis_runs) - 1)
    return Tables(*sizes, *map(pointer, tables))


def room_for_tables(index: Tensor, sizes: TableSizes) -> tuple[list[Tensor], TableRoom]:
    """Uninitialized tables of these sizes, in the order of `view_tables`, and the C view of them."""
    wide = torch.empty(sizes.chunks + 1 + sizes.axes + 1, dtype=torch.int64, device="cpu")
    narrow = torch.empty(2 * sizes.spills + sizes.runs + 1 + sizes.members, dtype=torch.int32, device="cpu")
    chunk_start, axis_runs = wide.split_with_sizes([sizes.chunks + 1, sizes.axes + 1])
    rows, owners, run_start, members = narrow.split_with_sizes(
        [sizes.spills, sizes.spills, sizes.runs + 1, sizes.members]
    )
    room = TableRoom(*map(pointer, (index, chunk_start, axis_runs, rows, owners, run_start, members)))
    return [index, chunk_start, rows, owners, axis_runs, run_start, members], room


def pointer(tensor: Tensor | None) -> ctypes.c_void_p:
    """Where the numbers of a tensor begin; null for None."""
    return ctypes.c_void_p(None if tensor is None else tensor.data_ptr())


def count(number: int) -> ctypes.c_int64:
    """A number of things as the compiled code takes it."""
    return ctypes.c_int64(number)


def padded(channels: int, dtype: torch.dtype) -> int:
    """Numbers per row in memory: whole vectors, or half of one."""
    width = VECTOR_BYTES // dtype.itemsize
    if channels <= width // 2:
        return width // 2
    return -(-channels // width) * width


def pointers(tensors: Sequence[Tensor | None]) -> ctypes.Array[ctypes.c_void_p]:
    """An array of `pointer`s."""
    return (ctypes.c_void_p * len(tensors))(*(None if each is None else each.data_ptr() for each in tensors))


class TableSizes(ctypes.Structure):
    """`TableSizes` of native/lattice_join.h."""

    _fields_ = [(name, ctypes.c_int64) for name in ("rows", "chunks", "spills", "axes", "runs", "members")]


class TableRoom(ctypes.Structure):
    """`TableRoom` of native/lattice_join.h."""

    _fields_ = [
        (name, ctypes.c_void_p)
        for name in ("index", "chunk_start", "axis_runs", "spill_rows", "spill_owners", "run_start", "members")
    ]


class Join(ctypes.Structure):
    """`Join` of native/lattice_join.h."""

    _fields_ = [("parts", ctypes.POINTER(Tables)), ("count", ctypes.c_int64), ("side_by_side", ctypes.c_bool)]


class Model(ctypes.Structure):
    """`Model` of native/label_rows.h."""

    _fields_ = [
        ("tables", Tables),
        ("images", ctypes.c_int64),
        ("labels", ctypes.c_int64),
        ("splat_weights", ctypes.c_void_p),
        ("slice_weights", ctypes.c_void_p),
        ("segments", ctypes.c_int64),
        ("segment_start", ctypes.c_void_p),
    ]


class Matrices(ctypes.Structure):
    """`Matrices` of native/label_rows.h."""

    _fields_ = [(name, ctypes.c_void_p) for name in ("full", "left", "right", "diagonal")]


class LabelMap(ctypes.Structure):
    """`Labels` of native/label_rows.h."""

    _fields_ = [
        ("data", ctypes.c_void_p),
        ("image_stride", ctypes.c_int64),
        ("label_stride", ctypes.c_int64),
        ("point_stride", ctypes.c_int64),
    ]


class Buffers(ctypes.Structure):
    """`Buffers` of native/mean_field.h."""

    _fields_ = [
        ("unary", ctypes.c_void_p),
        ("blurred", ctypes.POINTER(ctypes.c_void_p)),
        ("sliced", ctypes.c_void_p),
        ("beliefs", ctypes.POINTER(ctypes.c_void_p)),
        ("logits", ctypes.c_void_p),
        ("keep", ctypes.c_bool),
    ]


class Gradients(ctypes.Structure):
    """`Gradients` of native/mean_field_backward.h."""

    _fields_ = [
        ("matrices", ctypes.c_void_p),
        ("splat_weights", ctypes.c_void_p),
        ("slice_weights", ctypes.c_void_p),
        ("label_matrices", ctypes.POINTER(Matrices)),
        ("penalties", ctypes.c_void_p),
    ]
