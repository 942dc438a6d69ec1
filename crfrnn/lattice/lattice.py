"""The permutohedral lattice as a linear operator on values at N points."""

from __future__ import annotations

from dataclasses import dataclass, replace

from einops import rearrange
from torch import Tensor

from crfrnn.lattice import backends
from crfrnn.lattice.backends import LatticeTables
from crfrnn.lattice.checks import check_form, check_values
from crfrnn.lattice.diagonal import lattice_diagonal

MAX_DIAGONAL_DIMENSIONS = 8


@dataclass(frozen=True, eq=False)
class Lattice:
    """K = alpha S^T B S, close to K_ij = exp(-|f_i - f_j|^2 / 2), for the N points of each of B images.

    S splats values onto the vertices of the simplex around every point, B blurs the vertices along D + 1 axes, S^T
    slices (Adams, Baek and Davis 2010, section 3); alpha = 1 / (1 + 2^-D) takes out what D + 1 blur steps bring back to
    where they began. K holds the term j = i; `diagonal` gives it.

    Built once and used by any number of filterings and their backward passes. The images of a batch share one table of
    V vertices and touch none of each other's. `splat`, `blur` and `slice` are for callers who fold factors into the
    weights or act on the vertices; they do not contain alpha and check nothing.
    """

    weights: Tensor  # [B * N, D + 1] barycentric weights, differentiable to the features
    axes: Tensor  # [D, B * N] uint8: the axis that leads from each vertex of a point's simplex to the next
    tables: LatticeTables
    batch: int  # B
    points: int  # N
    side_weights: Tensor | None = None  # [D + 1] of the blur, in place of 1/2

    @classmethod
    def build(cls, features: Tensor, *, dilate: bool = False) -> Lattice:
        """The lattice of features [B, N, D], in units of their standard deviations; float32 or float64, 1 <= D <= 16.

        Args:
            features: positions f. Where they require grad, so do the weights of the lattice.
            dilate: also hold the neighbors of every vertex that the points touch. Less of the blurred mass is lost
                then: a smaller error for several times the vertices.

        Raises:
            TypeError: features are not a float32 or float64 tensor.
            ValueError: they have a wrong shape, are not finite, or are too large for the precision of their type.
        """
        check_form(features)
        batch, points, _ = features.shape
        weights, axes, tables = backends.build(features, dilate=dilate)
        return cls(weights, axes, tables, batch, points)

    @property
    def alpha(self) -> float:
        """1 / (1 + 2^-D), the factor of K beside slice, blur and splat."""
        return 1 / (1 + 2.0 ** -self.axes.shape[0])

    @property
    def num_vertices(self) -> int:
        """V, over all images; compiled code counts a vertex once for each thread whose points touch it."""
        return self.tables.num_vertices

    def with_side_weights(self, side_weights: Tensor) -> Lattice:
        """This lattice with another blur: h, 1, h along axis j, where h = side_weights[j] [D + 1], in place of 1/2, 1, 1/2.

        Gradients flow to them. K is no Gaussian then, and alpha stays what it is.
        """
        return replace(self, tables=self.tables.with_side_weights(side_weights), side_weights=side_weights)

    def filter(self, values: Tensor, transpose: bool = False) -> Tensor:
        """K values, or K^T values: [B, N, C] -> [B, N, C]. Differentiable to the values and to the features.

        The gradient to the features is that of the barycentric weights; K is piecewise polynomial in them.

        Raises:
            TypeError: values are not a tensor of the dtype of the features.
            ValueError: values do not match the features in B, N or device, have no channel, or are not finite.
        """
        check_values(values, self.batch, self.points, self.weights.dtype, self.weights.device)
        return self._filter(values, transpose)

    def _filter(self, values: Tensor, transpose: bool = False) -> Tensor:
        vertices = self.splat(rearrange(values, "b n c -> (b n) c"), self.weights)
        out = self.slice(self.blur(vertices, reverse=transpose), self.alpha * self.weights)
        return rearrange(out, "(b n) c -> b n c", b=self.batch)

    def row_sums(self) -> Tensor:
        """K 1 [B, N]: the filtered ones. Differentiable to the features."""
        sums = self.tables.row_sums(self.weights)
        if sums is None:
            return self._filter(self.weights.new_ones(self.batch, self.points, 1))[..., 0]
        return self.alpha * rearrange(sums, "(b n) -> b n", b=self.batch)

    def splat(self, values: Tensor, weights: Tensor) -> Tensor:
        """Gather values at the vertices with the given pair weights: [B * N, C], [B * N, D + 1] -> [V, C]."""
        return self.tables.splat(values, weights)

    def blur(self, vertices: Tensor, reverse: bool = False) -> Tensor:
        """Blur along the axes in order, or in reverse order, which is the adjoint: [V, C] -> [V, C]."""
        return self.tables.blur(vertices, reverse)

    def slice(self, vertices: Tensor, weights: Tensor) -> Tensor:
        """Interpolate vertices at the points with the given pair weights: [V, C], [B * N, D + 1] -> [B * N, C]."""
        return self.tables.slice(vertices, weights)

    def diagonal(self) -> Tensor:
        """K_ii [B, N]: what `filter` hands from every point back to itself. Differentiable to the features.

        Raises:
            ValueError: D > 8; time and memory are of the order of 2^D N.
        """
        if len(self.axes) > MAX_DIAGONAL_DIMENSIONS:
            raise ValueError(
                f"the message of a point to itself is known for at most {MAX_DIAGONAL_DIMENSIONS} feature dimensions, and "
                f"there are {len(self.axes)}; leave exclude_self off, or take filter='exact'"
            )
        return rearrange(
            self.alpha * lattice_diagonal(self.tables, self.weights, self.axes, self.side_weights),
            "(b n) -> b n",
            b=self.batch,
        )

    def repeat(self, batch: int) -> Lattice:
        """This lattice of one image for a batch of images with the same features.

        Raises:
            ValueError: the lattice already holds several images, or batch < 1.
        """
        if self.batch != 1 or batch < 1:
            raise ValueError(
                f"repeat({batch}) of a lattice with B = {self.batch}; wanted batch >= 1 and a lattice of one image: "
                "build it from features [1, N, D]"
            )
        if batch == 1:
            return self
        return replace(
            self,
            weights=self.weights.repeat(batch, 1),
            axes=self.axes.repeat(1, batch),
            tables=self.tables.repeat(batch),
            batch=batch,
        )


def permutohedral_filter(values: Tensor, features: Tensor) -> Tensor:
    """Approximate sum_j exp(-|f_i - f_j|^2 / 2) v_j on the lattice: values [B, N, C], features [B, N, D] -> [B, N, C].

    O(N D^2), where `exact_gaussian_filter` is O(N^2). The raw sum comes out too small, by up to a half in 5 dimensions;
    divide by the filtered ones to take most of it out. Use `Lattice` to filter more than once. Raises as
    `Lattice.build` and `Lattice.filter` do.
    """
    return Lattice.build(features).filter(values)
