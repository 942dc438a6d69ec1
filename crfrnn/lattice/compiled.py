"""The tables of a lattice as the compiled CPU code builds and uses them; `Tables` is their twin in plain torch.

Points are cut into chunks, one per thread and image, so that every thread splats into rows of its own: a vertex belongs to
the first chunk that touches it, and a later one that touches it, too, has another row for it, a *spill*. The blur
begins by adding the spills to their vertices and ends by giving them the values of their vertices; its adjoint does the
same. Splat and slice know nothing of it.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from crfrnn import native
from crfrnn.lattice import compiled_operators
from crfrnn.lattice.embed import elevation_scales, with_gradient
from crfrnn.lattice.keys import Packing, plan_packing
from crfrnn.native.interface import Problem, count, pointer


@dataclass(frozen=True, eq=False)
class CompiledTables:
    """Tables of M points with P vertices each, over R rows (vertices and spills) and A blur axes; int32 but for counts."""

    slice_index: Tensor  # [M, P] the rows of every point
    chunk_start: Tensor  # [chunks + 1] int64: which points each chunk holds
    spill_rows: Tensor  # [S]
    spill_owners: Tensor  # [S] the rows of their vertices
    axis_runs: Tensor  # [A + 1] int64: which runs of neighbors belong to each axis
    run_start: Tensor  # [runs + 1] where each run begins in `members`
    members: Tensor  # the rows of every run of two or more neighbors, and some zeros
    num_vertices: int  # R, which counts a vertex once for each chunk that touches it

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
        return [
            self.slice_index,
            self.chunk_start,
            self.spill_rows,
            self.spill_owners,
            self.axis_runs,
            self.run_start,
            self.members,
        ]

    def splat(self, values: Tensor, weights: Tensor) -> Tensor:
        return compiled_operators.splat(values, weights, self.as_list(), self.num_vertices)

    def blur(self, vertices: Tensor, reverse: bool = False) -> Tensor:
        return compiled_operators.blur(vertices, self.as_list(), reverse)

    def slice(self, vertices: Tensor, weights: Tensor) -> Tensor:
        return compiled_operators.slice_(vertices, weights, self.as_list())

    def row_sums(self, weights: Tensor) -> Tensor | None:
        if _need_gradient([weights]):
            return None
        return compiled_operators.row_sums(weights, self.as_list(), self.num_vertices)

    def fold(self, weights: Sequence[Tensor], factors: Sequence[Tensor | None]) -> Tensor | None:
        if _need_gradient([*weights, *factors]):
            return None
        return compiled_operators.fold_weights(list(weights), list(factors))

    def repeat(self, batch: int) -> CompiledTables:
        rows, points = self.num_vertices, self.slice_index.shape[0]
        starts = [self.chunk_start[:-1] + image * points for image in range(batch)]
        return _joined(
            [self] * batch,
            slice_index=torch.cat([self.slice_index + image * rows for image in range(batch)]),
            chunk_start=torch.cat([*starts, self.chunk_start.new_tensor([batch * points])]),
        )

    @staticmethod
    def stack(parts: Sequence[CompiledTables], dtype: torch.dtype) -> CompiledTables:
        """As of `LatticeTables`.

        Raises:
            ValueError: the lattices cut the points into different chunks.
        """
        if any(not torch.equal(part.chunk_start, parts[0].chunk_start) for part in parts):
            raise ValueError(
                "lattices were built for different numbers of threads; build all after the same torch.set_num_threads(...)"
            )
        return _joined(
            parts,
            slice_index=compiled_operators.fold_index([part.slice_index for part in parts], _firsts(parts), dtype),
            chunk_start=parts[0].chunk_start,
        )


# Numbers beyond the last run, for code that reads ahead.
_READ_AHEAD = 8


def build_compiled(features: Tensor, *, dilate: bool) -> tuple[Tensor, Tensor, CompiledTables] | None:
    """Weights [M, D + 1], axes [D, M] and tables for features [B, N, D] on the CPU; None without compiled code.

    Raises:
        ValueError: the features are too large for their type; see `plan_packing`.
    """
    library = native.library(features.dtype) if features.device.type == "cpu" else None
    if library is None:
        return None
    batch, points_per_image, dimensions = features.shape
    points, corners, threads = batch * points_per_image, dimensions + 1, torch.get_num_threads()
    if points * corners >= 2**31:
        return None
    flat = features.detach().contiguous()
    weights = flat.new_empty(points, corners)
    axes = torch.empty(dimensions, points, dtype=torch.uint8)
    corner = torch.empty(points, dimensions, dtype=torch.int32 if flat.dtype == torch.float32 else torch.int64)
    low, high = flat.new_empty(dimensions), flat.new_empty(dimensions)
    scales = flat.new_tensor(elevation_scales(dimensions, features.dtype))
    library.native_embed(
        pointer(flat), count(points), dimensions, *map(pointer, (scales, weights, axes, corner, low, high)), threads
    )
    packing = plan_packing(low, high, features, dilate)
    tables = _build_tables(library, corner, axes, packing, batch, threads, dilate)
    return with_gradient(weights, features.flatten(0, 1), axes), axes, tables


def threads_of_compiled(dtype: torch.dtype, device: torch.device) -> int:
    """For how many threads a lattice built now would be cut into chunks; 0 where it would not be built here."""
    return torch.get_num_threads() if device.type == "cpu" and native.library(dtype) is not None else 0


def _build_tables(
    library: ctypes.CDLL, corner: Tensor, axes: Tensor, packing: Packing, batch: int, threads: int, dilate: bool
) -> CompiledTables:
    points, dimensions = corner.shape
    per_image = points // batch
    cuts = torch.arange(threads) * per_image // threads
    chunk_start = torch.cat([(torch.arange(batch)[:, None] * per_image + cuts).flatten(), torch.tensor([points])])
    chunk_start = chunk_start.unique()  # fewer points than threads leave empty chunks
    origin, steps = torch.tensor(packing.origin), torch.tensor(packing.steps)
    index = torch.empty(points, dimensions + 1, dtype=torch.int32)
    problem = Problem(
        points, per_image, dimensions, pointer(corner), pointer(axes), packing.strides[0], pointer(origin),
        pointer(steps), len(chunk_start) - 1, pointer(chunk_start),
    )  # fmt: skip
    built = ctypes.c_void_p(library.native_build(ctypes.byref(problem), dilate, threads, pointer(index)))
    sizes = torch.empty(2 + 2 * (dimensions + 1), dtype=torch.int64)
    library.native_built_sizes(built, pointer(sizes))
    vertices, spills, runs, members = int(sizes[0]), int(sizes[1]), sizes[2::2], sizes[3::2]
    owners = torch.empty(spills, dtype=torch.int32)
    run_start = torch.empty(int(runs.sum()) + 1, dtype=torch.int32)
    member_rows = torch.zeros(int(members.sum()) + _READ_AHEAD, dtype=torch.int32)
    library.native_built_copy(built, *map(pointer, (owners, run_start, member_rows)))
    return CompiledTables(
        slice_index=index,
        chunk_start=chunk_start,
        spill_rows=torch.arange(vertices, vertices + spills, dtype=torch.int32),
        spill_owners=owners,
        axis_runs=torch.cat([runs.new_zeros(1), runs.cumsum(0)]),
        run_start=run_start,
        members=member_rows,
        num_vertices=vertices + spills,
    )


def _joined(parts: Sequence[CompiledTables], slice_index: Tensor, chunk_start: Tensor) -> CompiledTables:
    """Rows, spills and runs of all parts; along each axis the runs of the parts that have it."""
    axes = max(len(part.axis_runs) for part in parts) - 1
    members, run_sizes, axis_runs = [], [], [0]
    for axis in range(axes):
        for part, first in zip(parts, _firsts(parts), strict=True):
            if axis < len(part.axis_runs) - 1:
                begin, end = part.axis_runs[axis : axis + 2].tolist()
                starts = part.run_start[begin : end + 1]
                run_sizes.append(torch.diff(starts))
                members.append(part.members[starts[0] : starts[-1]] + first)
        axis_runs.append(sum(map(len, run_sizes)))
    sizes = torch.cat(run_sizes)
    offsets = list(zip(parts, _firsts(parts), strict=True))
    return CompiledTables(
        slice_index=slice_index,
        chunk_start=chunk_start,
        spill_rows=torch.cat([part.spill_rows + first for part, first in offsets]),
        spill_owners=torch.cat([part.spill_owners + first for part, first in offsets]),
        axis_runs=torch.tensor(axis_runs),
        run_start=torch.cat([sizes.new_zeros(1), sizes.cumsum(0, dtype=sizes.dtype)]),
        members=torch.cat([*members, sizes.new_zeros(_READ_AHEAD)]),
        num_vertices=sum(part.num_vertices for part in parts),
    )


def _need_gradient(tensors: Sequence[Tensor | None]) -> bool:
    return torch.is_grad_enabled() and any(each is not None and each.requires_grad for each in tensors)


def _firsts(parts: Sequence[CompiledTables]) -> list[int]:
    """The first row of every part."""
    sizes = [part.num_vertices for part in parts]
    return [sum(sizes[:i]) for i in range(len(sizes))]
