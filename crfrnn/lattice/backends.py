"""What every backend of the lattice can do, and the choice among them, made once: where a lattice is built.

A backend is a class of tables with the methods of `LatticeTables`, and a function that builds them, in `BUILDERS`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from crfrnn.lattice.compiled import build_compiled, threads_of_compiled
from crfrnn.lattice.fallback import missing_on_cpu
from crfrnn.lattice.tables import build_plain


class LatticeTables(Protocol):
    """Which of M points touches which of V vertices, and which vertices are neighbors, as a backend keeps it.

    What returns None says that the backend has no shorter way than the other methods.
    """

    @property
    def slice_index(self) -> Tensor:
        """[M, P] the vertices of every point."""

    @property
    def num_vertices(self) -> int:
        """V."""

    @property
    def side_weights(self) -> Tensor | None:
        """What the blur takes in place of 1/2, if anything; see `with_side_weights`."""

    @property
    def next_row(self) -> Tensor:
        """[A, V] the next vertex along each axis, or -1."""

    def splat(self, values: Tensor, weights: Tensor) -> Tensor:
        """out_v = sum over the pairs (i, p) of vertex v of weights_ip values_i: [M, C], [M, P] -> [V, C]."""

    def blur(self, vertices: Tensor, reverse: bool = False) -> Tensor:
        """Along each axis in turn, out_v = in_v + (in_next(v) + in_previous(v)) / 2: [V, C] -> [V, C].

        Axes do not commute where vertices are missing; the adjoint takes them in reverse.
        """

    def with_side_weights(self, side_weights: Tensor) -> Any:
        """Tables that blur with out_v = in_v + h (in_next(v) + in_previous(v)), with a number h for each axis, [A]."""

    def slice(self, vertices: Tensor, weights: Tensor) -> Tensor:
        """out_i = sum_p weights_ip vertices_v(i, p): [V, C], [M, P] -> [M, C]. The adjoint of `splat`."""

    def row_sums(self, weights: Tensor) -> Tensor | None:
        """Splat, blur and slice of ones, [M, P] -> [M]."""

    def fold(self, weights: Sequence[Tensor], factors: Sequence[Tensor | None]) -> Tensor | None:
        """Pair weights [M, P_m] side by side, each times its factor [M]: [M, sum_m P_m]."""

    def repeat(self, batch: int) -> Any:
        """Tables of `batch` copies of the points and vertices, one after the other."""

    @staticmethod
    def stack(parts: Sequence[Any], dtype: torch.dtype) -> Any:
        """Tables of the same points over the vertices of several lattices, one after the other."""


Build = Callable[..., tuple[Tensor, Tensor, LatticeTables] | None]
# The first that does not answer None has built the lattice.
BUILDERS: tuple[Build, ...] = (build_compiled, build_plain)


def build(features: Tensor, *, dilate: bool) -> tuple[Tensor, Tensor, LatticeTables]:
    """Weights [B * N, D + 1], differentiable to features [B, N, D], axes [D, B * N] and tables of their lattice.

    The builders raise ValueError for features that are not finite or too large for their type.
    """
    with missing_on_cpu(features.device):
        answers = (builder(features, dilate=dilate) for builder in BUILDERS)
        return next(answer for answer in answers if answer is not None)


def build_key(dtype: torch.dtype, device: torch.device) -> int:
    """Differs where lattices of the same features would be built differently, for those who keep lattices."""
    return threads_of_compiled(dtype, device)
