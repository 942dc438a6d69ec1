"""The tables of a lattice as the compiled CPU code builds and uses them; `Tables` is their twin in plain torch.

Points are cut into chunks, one per thread and image, so that every thread splats into rows of its own: a vertex belongs to
the first chunk that touches it, and a later one that touches it, too, has another row for it, a *spill*. The blur
begins by adding the spills to their vertices and ends by giving them the values of their vertices; its adjoint does the
same. Splat and slice know nothing of it.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn.functional import pad

from crfrnn import native
from crfrnn.lattice import compiled_operators
from crfrnn.lattice.checks import check_reach, describe_reach
from crfrnn.lattice.embed import with_gradient
from crfrnn.native.interface import Join, Tables, TableSizes, count, pointer, room_for_tables, view_tables


@dataclass(frozen=True, eq=False)
class CompiledTables:
    """Tables of M points with P vertices each, over R rows (vertices and spills) and A blur axes; int32 but for counts."""

    num_vertices: int  # R, which counts a vertex once for each chunk that touches it
    dtype: torch.dtype  # of the features
    slice_index: Tensor  # [M, P] the rows of every point
    chunk_start: Tensor  # [chunks + 1] int64: which points each chunk holds
    spill_rows: Tensor  # [S]
    spill_owners: Tensor  # [S] the rows of their vertices
    axis_runs: Tensor  # [A + 1] int64: which runs of neighbors belong to each axis
    run_start: Tensor  # [runs + 1] where each run begins in `members`
    members: Tensor  # the rows of every run of two or more neighbors, and some zeros
    # What the blur takes in place of 1/2, for each part of the rows: [parts, A] float64, differentiable; else None.
    side_weights: Tensor | None = None
    part_stop: Tensor | None = None  # [parts] int64: where the rows of each part end

    @property
    def next_row(self) -> Tensor:
        """[A, R] the next vertex along each axis, or -1; for a spill that of its vertex."""
        following = self.members.new_full((len(self.axis_runs) - 1, self.num_vertices), -1)
        for axis, (first, last) in enumerate(zip(self.axis_runs[:-1], self.axis_runs[1:], strict=True)):
            starts = self.run_start[first : last + 1].long()
            members = self.members[starts[0] : starts[-1]]
            ends_run = torch.zeros_like(members, dtype=torch.bool)
            ends_run[starts[1:] - starts[0] - 1] = True
            following[axis, members[:-1].long()] = torch.where(ends_run[:-1], -1, members[1:])
        following[:, self.spill_rows.long()] = following[:, self.spill_owners.long()]
        return following

    def as_list(self) -> list[Tensor]:
        """What the operators need, in the order in which they take it."""
        tables = [
            self.slice_index,
            self.chunk_start,
            self.spill_rows,
            self.spill_owners,
            self.axis_runs,
            self.run_start,
            self.members,
        ]
        if self.side_weights is None or self.part_stop is None:
            return tables
        return [*tables, self.side_weights, self.part_stop]

    def _of_points(self) -> list[Tensor]:
        """What splat and slice need: all that no gradient flows to."""
        return self.as_list()[: compiled_operators.SIDE_WEIGHTS]

    def with_side_weights(self, side_weights: Tensor) -> CompiledTables:
        stop = torch.tensor([self.num_vertices], device="cpu")
        return replace(self, side_weights=side_weights.double()[None].contiguous(), part_stop=stop)

    def splat(self, values: Tensor, weights: Tensor) -> Tensor:
        return compiled_operators.splat(values, weights, self._of_points(), self.num_vertices)

    def blur(self, vertices: Tensor, reverse: bool = False) -> Tensor:
        return compiled_operators.blur(vertices, self.as_list(), reverse)

    def slice(self, vertices: Tensor, weights: Tensor) -> Tensor:
        return compiled_operators.slice_(vertices, weights, self._of_points())

    def row_sums(self, weights: Tensor) -> Tensor | None:
        if _need_gradient([weights, self.side_weights]):
            return None
        return compiled_operators.row_sums(weights, self.as_list(), self.num_vertices)

    def fold(self, weights: Sequence[Tensor], factors: Sequence[Tensor | None]) -> Tensor | None:
        if _need_gradient([*weights, *factors]):
            return None
        return compiled_operators.fold_weights(list(weights), list(factors))

    def repeat(self, batch: int) -> CompiledTables:
        joined = _joined([self] * batch, side_by_side=False)
        return joined if self.side_weights is None else joined.with_side_weights(self.side_weights[0])

    @staticmethod
    def stack(parts: Sequence[CompiledTables], dtype: torch.dtype) -> CompiledTables:
        """As of `LatticeTables`.

        Raises:
            ValueError: the lattices cut the points into different chunks.
        """
        if any(not torch.equal(part.chunk_start, parts[0].chunk_start) for part in parts[1:]):
            raise ValueError(
                "lattices were built for different numbers of threads; build all after the same torch.set_num_threads(...)"
            )
        joined = _joined(parts, side_by_side=True)
        if all(part.side_weights is None for part in parts):
            return joined
        axes = len(joined.axis_runs) - 1
        usual = torch.full((1, axes), 0.5, dtype=torch.float64, device="cpu")
        rows = [usual if part.side_weights is None else _widened(part.side_weights, axes) for part in parts]
        stops = torch.tensor([part.num_vertices for part in parts], device="cpu").cumsum(0)
        return replace(joined, side_weights=torch.cat(rows), part_stop=stops)


def build_compiled(features: Tensor, *, dilate: bool) -> tuple[Tensor, Tensor, CompiledTables] | None:
    """Weights [M, D + 1], axes [D, M] and tables for features [B, N, D] on the CPU; None without compiled code.

    Raises:
        ValueError: the features are not finite, or too large for the precision of their type.
    """
    library = native.library(features.dtype) if features.device.type == "cpu" else None
    if library is None:
        return None
    batch, points_per_image, dimensions = features.shape
    points, corners = batch * points_per_image, dimensions + 1
    if points * corners >= 2**31:
        return None
    check_reach(features)
    flat = features.detach().contiguous()
    weights = flat.new_empty(points, corners)
    axes = torch.empty(dimensions, points, dtype=torch.uint8, device="cpu")
    index = torch.empty(points, corners, dtype=torch.int32, device="cpu")
    built = library.native_build(
        pointer(flat), count(batch), count(points_per_image), dimensions, dilate, torch.get_num_threads(),
        *map(pointer, (weights, axes, index)),
    )  # fmt: skip
    if built is None:
        raise ValueError(describe_reach(features))
    sizes = TableSizes()
    library.native_built_sizes(ctypes.c_void_p(built), ctypes.byref(sizes))
    tables, room = room_for_tables(index, sizes)
    library.native_built_copy(ctypes.c_void_p(built), ctypes.byref(room))
    compiled = CompiledTables(sizes.rows, features.dtype, *tables)
    return with_gradient(weights, features.flatten(0, 1), axes), axes, compiled


def threads_of_compiled(dtype: torch.dtype, device: torch.device) -> int:
    """For how many threads a lattice built now would be cut into chunks; 0 where it would not be built here."""
    return torch.get_num_threads() if device.type == "cpu" and native.library(dtype) is not None else 0


def _joined(parts: Sequence[CompiledTables], *, side_by_side: bool) -> CompiledTables:
    """Rows, spills and runs of all parts; their points are the same (side by side), or those of one after the other."""
    dtype, library = parts[0].dtype, compiled_operators.library_for(parts[0].dtype)
    views = (Tables * len(parts))(*(view_tables(part.as_list(), part.num_vertices) for part in parts))
    join, sizes = Join(views, len(parts), side_by_side), TableSizes()
    library.native_join_sizes(ctypes.byref(join), ctypes.byref(sizes))
    points, corners = parts[0].slice_index.shape
    shape = (
        (points, sum(part.slice_index.shape[1] for part in parts)) if side_by_side else (len(parts) * points, corners)
    )
    tables, room = room_for_tables(torch.empty(shape, dtype=torch.int32, device="cpu"), sizes)
    library.native_join(ctypes.byref(join), ctypes.byref(room), torch.get_num_threads())
    return CompiledTables(sizes.rows, dtype, *tables)


def _widened(side_weights: Tensor, axes: int) -> Tensor:
    """Side weights [1, A] for as many axes as other lattices have; along the last ones there are no neighbors."""
    return pad(side_weights, (0, axes - side_weights.shape[1]))


def _need_gradient(tensors: Sequence[Tensor | None]) -> bool:
    return torch.is_grad_enabled() and any(each is not None and each.requires_grad for each in tensors)
