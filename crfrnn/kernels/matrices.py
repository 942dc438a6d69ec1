"""Raw kernels that are no lattices, as linear operators: exact sums over all pairs, and pairs of neighbors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product

import torch
from einops import rearrange
from torch import Tensor

from crfrnn.lattice.checks import check_features
from crfrnn.lattice.exact import unchecked_gaussian_filter

# exp(-40) = 4e-18 passes for 0 beside a neighbor of like color, and where all are unlike, row sums of it still can be
# divided by, and their inverses squared in a derivative, in float32.
LARGEST_EXPONENT = 40.0


class ExactMatrix:
    """K by the plain sum over all pairs of pixels, O(N^2), without those of a pixel with itself if `exclude_self`.

    The yardstick, for small images.
    """

    def __init__(self, features: Tensor, exclude_self: bool) -> None:
        check_features(features)
        self.features = features
        self.exclude_self = exclude_self

    def filter(self, values: Tensor, transpose: bool = False) -> Tensor:
        """K values: [B, N, C] -> [B, N, C]; K is its own transpose."""
        return unchecked_gaussian_filter(values, self.features, self.exclude_self)

    def row_sums(self) -> Tensor:
        return self.filter(torch.ones_like(self.features[..., :1]))[..., 0]

    def diagonal(self) -> Tensor:
        return torch.full_like(self.features[..., 0], 0 if self.exclude_self else 1)


class PositionMatrix:
    """K by the sum over all pairs of pixels of a grid, where nothing but their positions counts.

    exp(-|p_i - p_j|^2 / 2) is a product of one factor for each axis, so that one axis is summed over after the other, in
    O(N (n_1 + .. + n_A)) time for n_a pixels along axis a, and n_a^2 entries of memory.

    Args:
        coordinates: [n_a] along each axis, in units of its bandwidth; gradients flow to them.
        batch: the number of images B.
    """

    def __init__(self, coordinates: Sequence[Tensor], batch: int) -> None:
        for axis in coordinates:
            check_features(axis[None, :, None])
        self._factors = [(-((axis[:, None] - axis).square()) / 2).exp() for axis in coordinates]
        self._batch = batch

    def filter(self, values: Tensor, transpose: bool = False) -> Tensor:
        """K values: [B, N, C] -> [B, N, C]; K is its own transpose."""
        out, rows = values, 1
        for factor in self._factors:
            out = factor @ out.reshape(self._batch, rows, len(factor), -1)
            rows *= len(factor)
        return out.reshape(values.shape)

    def row_sums(self) -> Tensor:
        return self.filter(torch.ones_like(self.diagonal())[..., None])[..., 0]

    def diagonal(self) -> Tensor:
        """k(i, i) = 1 [B, N]."""
        return self._factors[0].new_ones(self._batch, math.prod(map(len, self._factors)))


# Of a pair of pixels: slices of images [B, *space, ...] at the one, at the other, and k(i, j) [B, *space, 1].
Edges = tuple[tuple[slice, ...], tuple[slice, ...], Tensor]


class NeighborMatrix:
    """k(i, j) between pixels a few steps from each other, 0 elsewhere and for j = i.

    K is symmetric, so that the filter is its own adjoint; gradients flow to the values and to k.

    Args:
        like: [B, _, *space], for the size of the images.
        edges: for every step from a pixel to a later one, k(i, j) of all pairs of pixels so far apart.
    """

    def __init__(self, like: Tensor, edges: Sequence[Edges]) -> None:
        self._size = (len(like), *like.shape[2:])
        self._like = like
        self._edges = edges

    def filter(self, values: Tensor, transpose: bool = False) -> Tensor:
        """sum_j k(i, j) v_j: [B, N, C] -> [B, N, C]; K is its own transpose."""
        images = values.reshape(*self._size, -1)
        out = torch.zeros_like(images)
        for here, there, weights in self._edges:
            out[here].addcmul_(weights, images[there])
            out[there].addcmul_(weights, images[here])
        return out.view_as(values)

    def row_sums(self) -> Tensor:
        """sum_j k(i, j) [B, N]."""
        return self.filter(torch.ones_like(self.diagonal())[..., None])[..., 0]

    def diagonal(self) -> Tensor:
        """k(i, i) = 0 [B, N]."""
        return self._like.new_zeros(len(self._like), math.prod(self._size[1:]))


class GridMatrix(NeighborMatrix):
    """k(i, j) = exp(-|g_i - g_j|^2 / 2) / |p_i - p_j| for the nearest neighbors j of pixel i, 0 elsewhere and for j = i.

    The distance |p_i - p_j|, 1 or sqrt(2) pixels in an image, makes the length of a boundary count alike in all directions
    (Boykov & Kolmogorov 2003).

    Args:
        guide: g [B, C, *space], in units of its bandwidth.
        neighbors: 2, 4, 8, 6 or 26: the two nearest along each axis, or all whose coordinates differ by at most one.
        spacing: the distance of neighbors along each axis; 1 by default.
    """

    def __init__(self, guide: Tensor, neighbors: int, spacing: Sequence[float] | None = None) -> None:
        pixels = rearrange(guide, "b c ... -> b ... c")
        edges = []
        for step in steps(guide.ndim - 2, diagonal=neighbors in (8, 26)):
            here, there, exponent = _compared(pixels, step)
            length = math.hypot(*(s * unit for s, unit in zip(step, spacing or (1,) * len(step), strict=True)))
            edges.append((here, there, exponent.clamp(max=LARGEST_EXPONENT).neg().exp() / length))
        super().__init__(guide, edges)


class WindowMatrix(NeighborMatrix):
    """k(i, j) = exp(-|f_i - f_j|^2 / 2) where j is another pixel of the square window around i, 0 elsewhere.

    Args:
        features: f [B, D, H, W], in units of their bandwidths.
        radius: how many rows and columns the window reaches to either side.
    """

    def __init__(self, features: Tensor, radius: int) -> None:
        pixels = rearrange(features, "b d h w -> b h w d")
        edges = []
        for step in product(range(radius + 1), range(-radius, radius + 1)):
            if step > (0, 0):
                here, there, exponent = _compared(pixels, step)
                edges.append((here, there, exponent.neg().exp()))
        super().__init__(features, edges)


def steps(axes: int, *, diagonal: bool) -> list[tuple[int, ...]]:
    """From a pixel to its later neighbors, along one axis alone or diagonally, too; the nearest come first.

    The earlier ones follow from k(i, j) = k(j, i).
    """
    later = [step for step in product((-1, 0, 1), repeat=axes) if step > (0,) * axes]
    by_length = sorted(later, key=lambda step: (sum(map(abs, step)), tuple(map(abs, step)), [-s for s in step]))
    return by_length if diagonal else by_length[:axes]


def _compared(pixels: Tensor, step: Sequence[int]) -> Edges:
    """All pairs of pixels so far apart in features [B, *space, D], and |f_i - f_j|^2 / 2 of each."""
    here, there = _ends(step), _ends([-s for s in step])
    return here, there, (pixels[here] - pixels[there]).square().sum(-1, keepdim=True) / 2


def _ends(step: Sequence[int]) -> tuple[slice, ...]:
    """Of images [B, *space, ...], the pixels that have another one this step further on."""
    return slice(None), *map(_inside, step)


def _inside(step: int) -> slice:
    """Where i + step is no further than the ends of an axis."""
    return slice(None, -step or None) if step >= 0 else slice(-step, None)
