"""Several lattices over the same points, filtered together."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from crfrnn.lattice.backends import LatticeTables
from crfrnn.lattice.lattice import Lattice


class LatticeStack:
    """The lattices of several kernels as one, so that a single splat and a single slice serve all of them.

    The vertices of kernel m are the rows `segments[m]`, its pair weights the columns `columns[m]`. After the blur, act on
    each segment (multiply by a weight or a label matrix), then slice: what comes out is the sum over the kernels. As
    with `Lattice`, these operators hold no alpha; put `lattices[m].alpha` into a factor.

    Raises:
        ValueError: no lattice, or lattices that differ in B, N, dtype or device.
    """

    def __init__(self, lattices: Sequence[Lattice]) -> None:
        if not lattices:
            raise ValueError("LatticeStack([]) has no lattice; wanted at least one")
        described = [(each.batch, each.points, each.weights.dtype, each.weights.device) for each in lattices]
        if len(set(described)) > 1:
            raise ValueError(
                f"lattices differ in (B, N, dtype, device): {described}; wanted the same points in each, so build all "
                "from features of one image size, dtype and device, and use lattice.repeat(B) for a shared one"
            )
        self.lattices = tuple(lattices)
        self.segments = _consecutive([each.num_vertices for each in lattices])
        self.columns = _consecutive([each.weights.shape[1] for each in lattices])
        self.tables = _stacked([each.tables for each in lattices], lattices[0].weights.dtype)

    def fold(self, factors: Sequence[Tensor | None]) -> Tensor:
        """Pair weights [B * N, sum_m P_m] of all kernels, those of kernel m times factors[m] [B * N], None being 1."""
        weights = [each.weights for each in self.lattices]
        folded = self.tables.fold(weights, factors)
        if folded is not None:
            return folded
        columns = [w if f is None else w * f[:, None] for w, f in zip(weights, factors, strict=True)]
        return torch.cat(columns, 1)

    @property
    def num_vertices(self) -> int:
        """V, over all kernels and images."""
        return self.tables.num_vertices

    def splat(self, values: Tensor, weights: Tensor) -> Tensor:
        """Gather values at the vertices of every kernel: [B * N, C], [B * N, sum_m P_m] -> [V, C]."""
        return self.tables.splat(values, weights)

    def blur(self, vertices: Tensor, reverse: bool = False) -> Tensor:
        """Blur every kernel's vertices along its own axes, or in reverse order: [V, C] -> [V, C]."""
        return self.tables.blur(vertices, reverse)

    def slice(self, vertices: Tensor, weights: Tensor) -> Tensor:
        """Interpolate and sum over the kernels: [V, C], [B * N, sum_m P_m] -> [B * N, C]."""
        return self.tables.slice(vertices, weights)


def _stacked(tables: Sequence[LatticeTables], dtype: torch.dtype) -> LatticeTables:
    if len({type(each) for each in tables}) > 1:
        raise ValueError(
            "some lattices were built by compiled code and some without it; build all of them inside or all outside of "
            "native.disabled()"
        )
    return tables[0].stack(tables, dtype)


def _consecutive(sizes: list[int]) -> list[slice]:
    """Slices of the given sizes, one after the other."""
    ends = [sum(sizes[: i + 1]) for i in range(len(sizes))]
    return [slice(end - size, end) for end, size in zip(ends, sizes, strict=True)]
