"""Raw kernels that are no lattices, as linear operators: the exact sum over all pairs, and pairs of neighbors."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import torch
from einops import rearrange
from torch import Tensor

from crfrnn.lattice.checks import check_features
from crfrnn.lattice.exact import unchecked_gaussian_filter

# (rows, columns) from a pixel to its later neighbors; the earlier ones follow from k(i, j) = k(j, i).
OFFSETS = {4: ((0, 1), (1, 0)), 8: ((0, 1), (1, 0), (1, 1), (1, -1))}
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


# Of a pair of pixels: slices of images [B, H, W, ...] at the one, at the other, and k(i, j) [B, h, w, 1].
Edges = tuple[tuple[slice, slice, slice], tuple[slice, slice, slice], Tensor]


class NeighborMatrix:
    """k(i, j) between pixels a few steps from each other, 0 elsewhere and for j = i.

    K is symmetric, so that the filter is its own adjoint; gradients flow to the values and to k.

    Args:
        like: [B, _, H, W], for the size of the images.
        edges: for every step from a pixel to a later one, k(i, j) of all pairs of pixels so far apart.
    """

    def __init__(self, like: Tensor, edges: Sequence[Edges]) -> None:
        batch, _, height, width = like.shape
        self._size = (batch, height, width)
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
        batch, height, width = self._size
        return self._like.new_zeros(batch, height * width)


class GridMatrix(NeighborMatrix):
    """k(i, j) = exp(-|g_i - g_j|^2 / 2) / |p_i - p_j| for the 4 or 8 neighbors j of pixel i, 0 elsewhere and for j = i.

    The distance |p_i - p_j|, 1 or sqrt(2) pixels, makes the length of a boundary count alike in all directions (Boykov &
    Kolmogorov 2003).

    Args:
        guide: g [B, C, H, W], in units of its bandwidth.
        neighbors: 4 or 8.
    """

    def __init__(self, guide: Tensor, neighbors: int) -> None:
        pixels = rearrange(guide, "b c h w -> b h w c")
        edges = []
        for rows, columns in OFFSETS[neighbors]:
            here, there, exponent = _compared(pixels, rows, columns)
            length = (rows**2 + columns**2) ** 0.5
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
        for rows, columns in product(range(radius + 1), range(-radius, radius + 1)):
            if (rows, columns) > (0, 0):
                here, there, exponent = _compared(pixels, rows, columns)
                edges.append((here, there, exponent.neg().exp()))
        super().__init__(features, edges)


def _compared(pixels: Tensor, rows: int, columns: int) -> Edges:
    """All pairs of pixels so far apart in features [B, H, W, D], and |f_i - f_j|^2 / 2 of each."""
    here, there = _ends(rows, columns), _ends(-rows, -columns)
    return here, there, (pixels[here] - pixels[there]).square().sum(-1, keepdim=True) / 2


def _ends(rows: int, columns: int) -> tuple[slice, slice, slice]:
    """Of images [B, H, W, ...], the pixels that have another one this many rows and columns further on."""
    return slice(None), _inside(rows), _inside(columns)


def _inside(step: int) -> slice:
    """Where i + step is no further than the ends of an axis."""
    return slice(None, -step or None) if step >= 0 else slice(-step, None)
