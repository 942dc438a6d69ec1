"""From an image to the normalized kernels of the pair term, built once and used in every iteration.

Each kernel is divided by its row sums D_i = sum_j k(i, j), per pixel: after filtering (as CRF-RNN does), before it,
symmetrically or not at all; see normalizers.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache

import torch
from einops import rearrange, repeat
from torch import Tensor

from crfrnn.kernels.kernel import IMAGE, Kernel
from crfrnn.kernels.matrices import ExactMatrix, GridMatrix, PositionMatrix
from crfrnn.kernels.normalizers import KernelMatrix, Normalization, Normalizer, normalizer
from crfrnn.lattice import Lattice, LatticeStack
from crfrnn.lattice.backends import build_key
from crfrnn.lattice.checks import check_reach
from crfrnn.lattice.exact import TILE_ENTRIES

# The distance of neighbors along each spatial axis, 1 where it is None.
Spacing = Sequence[float] | None


def positions(size: Sequence[int], like: Tensor, spacing: Spacing = None) -> Tensor:
    """Coordinates [N, axes] of the pixels of an image of this size, with the dtype and on the device of `like`.

    The last axis comes first, (x, y) in an image and (x, y, z) in a volume; pixels are in row-major order.
    """
    axes = axis_positions(size, like, spacing)
    return torch.stack([grid.flatten() for grid in reversed(torch.meshgrid(*axes, indexing="ij"))], -1)


def axis_positions(size: Sequence[int], like: Tensor, spacing: Spacing = None) -> list[Tensor]:
    """Coordinates [n] of the pixels along each axis; arguments as of `positions`."""
    axes = [torch.arange(length, dtype=like.dtype, device=like.device) for length in size]
    return axes if spacing is None else [axis * unit for axis, unit in zip(axes, spacing, strict=True)]


def kernel_features(
    kernel: Kernel,
    bandwidths: Tensor,
    guides: Mapping[str, Tensor],
    like: Tensor,
    spacing: Spacing = None,
) -> Tensor:
    """Features f [B, N, D] of a kernel, in units of their bandwidths: k(i, j) = exp(-|f_i - f_j|^2 / 2).

    Args:
        bandwidths: as many numbers as `kernel.bandwidths`; gradients flow to them.
        guides: [B, C, *space] by name.
        like: [B, _, *space], for the shape of the image.
        spacing: the distance of neighbors along each axis; 1 by default.
    """
    parts, first = [], kernel.num_position_bandwidths
    if kernel.theta_position is not None:
        grid = repeat(positions(like.shape[2:], like, spacing), "n d -> b n d", b=len(like))
        parts.append(grid / bandwidths[:first].flip(0))
    if kernel.guide is not None:
        parts.append(rearrange(guides[kernel.guide], "b c ... -> b (...) c") / bandwidths[first:])
    return torch.cat(parts, -1)


def weigh(values: Tensor, weight: Tensor) -> Tensor:
    """W_m values [..., L]; `weight` is one number, one per label [L], or a matrix over labels [L, L]."""
    return values @ weight.T if weight.ndim == 2 else values * weight


def in_form(weights: Tensor, form: str, num_labels: int) -> Tensor:
    """Kernel weights [M] in the form asked for: [M], [M, L] or [M, L, L] (diagonal)."""
    if form == "scalar":
        return weights
    diagonal = repeat(weights, "m -> m l", l=num_labels)
    return diagonal.clone() if form == "diagonal" else torch.diag_embed(diagonal)


class Kernels:
    """The normalized kernels of an image, any kind of `KernelMatrix`."""

    def __init__(self, kernels: Sequence[KernelMatrix], normalizers: Sequence[Normalizer]) -> None:
        self.kernels = kernels
        self.normalizers = normalizers

    def weighted_sum(self, values: Tensor, weights: Tensor, transpose: bool = False) -> Tensor:
        """sum_m W_m K_m values, or sum_m W_m K_m^T values: [B, N, L], [M], [M, L] or [M, L, L] -> [B, N, L]."""
        terms = []
        for kernel, factors, weight in zip(self.kernels, self.normalizers, weights, strict=True):
            first, last = (factors.outer, factors.inner) if transpose else (factors.inner, factors.outer)
            inner = values if first is None else values * first[..., None]
            out = kernel.filter(inner, transpose)
            if factors.self_term is not None:
                out = out - factors.self_term[..., None] * inner
            terms.append(weigh(out if last is None else out * last[..., None], weight))
        return torch.stack(terms).sum(0)


class LatticeKernels:
    """The same on permutohedral lattices, with one splat and one slice for all kernels.

    What commutes with the filter is moved to where it is cheap: the normalizers into the splat and slice weights (once),
    the kernel weights to the vertices of the lattice.
    """

    def __init__(self, lattices: Sequence[Lattice], normalizers: Sequence[Normalizer]) -> None:
        self.stack = LatticeStack(lattices)
        inner, outer = [factors.inner for factors in normalizers], [factors.outer for factors in normalizers]
        self.splat_weights = self._fold(inner)
        same = all(left is right for left, right in zip(inner, outer, strict=True))
        self.slice_weights = self.splat_weights if same else self._fold(outer)
        self.alphas = [lattice.alpha for lattice in lattices]
        self.self_terms = [_product(f.self_term, f.inner, f.outer) for f in normalizers]

    def _fold(self, factors: Sequence[Tensor | None]) -> Tensor:
        return self.stack.fold([None if factor is None else rearrange(factor, "b n -> (b n)") for factor in factors])

    def weighted_sum(self, values: Tensor, weights: Tensor, transpose: bool = False) -> Tensor:
        """sum_m W_m K_m values, or sum_m W_m K_m^T values: [B, N, L], [M], [M, L] or [M, L, L] -> [B, N, L]."""
        rows = rearrange(values, "b n l -> (b n) l")
        first, last = self.splat_weights, self.slice_weights
        if transpose:
            first, last = last, first
        vertices = self.stack.blur(self.stack.splat(rows, first), reverse=transpose)
        segments = [
            weigh(vertices[rows], alpha * weight)
            for rows, alpha, weight in zip(self.stack.segments, self.alphas, weights, strict=True)
        ]
        out = self.stack.slice(torch.cat(segments), last).view_as(values)
        for term, weight in zip(self.self_terms, weights, strict=True):
            if term is not None:
                out = out - weigh(term[..., None] * values, weight)
        return out


AnyKernels = Kernels | LatticeKernels


def _product(*factors: Tensor | None) -> Tensor | None:
    """Product of a first factor and those of the others that are there; None where there is no first one."""
    out = factors[0]
    for factor in factors[1:]:
        out = out if out is None or factor is None else out * factor
    return out


@lru_cache(maxsize=4)
def _position_lattice(
    size: tuple[int, ...], spacing: tuple[float, ...] | None, thetas: tuple[float, ...], normalization: Normalization,
    exclude_self: bool, dilate: bool, dtype: torch.dtype, device: torch.device, key: int,
) -> tuple[Lattice, Normalizer]:  # fmt: skip
    """Lattice and normalizer of a kernel over positions, which size and spacing of the image decide alone.

    `key` tells apart lattices that are built differently, see `build_key`.
    """
    # What is kept has to serve training, too, even where inference mode came first.
    with torch.inference_mode(False), torch.no_grad():
        like = torch.empty(0, dtype=dtype, device=device)
        features = positions(size, like, spacing)[None] / like.new_tensor(thetas).flip(0)
        lattice = Lattice.build(features, dilate=dilate)
        return lattice, normalizer(lattice, normalization, exclude_self)


def _with_side_weights(lattice: Lattice, side_weights: Tensor, kernel: Kernel) -> Lattice:
    dimensions = len(lattice.axes)
    if len(side_weights) != dimensions + 1:
        raise ValueError(
            f"learn_filter=True expected {len(side_weights) - 1} features (positions and channels) of {kernel}, and here "
            f"are {dimensions}; give each theta of the kernel as a tuple, with one for each spatial axis or channel, which "
            "says how many there are"
        )
    return lattice.with_side_weights(side_weights)


def build_kernels(
    kernels: Sequence[Kernel],
    bandwidths: Sequence[Tensor],
    guides: Mapping[str, Tensor],
    like: Tensor,
    *,
    normalization: Normalization = "after",
    exclude_self: bool = False,
    exact: bool = False,
    dilate: bool = False,
    spacing: Spacing = None,
    side_weights: Sequence[Tensor] | None = None,
) -> AnyKernels:
    """The normalized kernels of a batch of images, to be used in every iteration.

    Args:
        kernels: what to build.
        bandwidths: their bandwidths as tensors; gradients flow to those that require one.
        guides: image and features [B, C, *space] by name.
        like: [B, _, *space] with the size, dtype and device of the beliefs.
        normalization, exclude_self: see `normalizer`.
        exact: sum over all pairs of pixels instead of the lattice.
        dilate: see `Lattice.build`.
        spacing: the distance of neighbors along each axis, in the unit of the bandwidths of positions; 1 by default.
        side_weights: of the blur of every lattice, see `Lattice.with_side_weights`; gradients flow to them.

    Raises ValueError where there are not as many side weights as axes.
    """
    batch = len(like)
    matrices: list[KernelMatrix] = []
    normalizers = []
    for m, (kernel, thetas) in enumerate(zip(kernels, bandwidths, strict=True)):
        sides = None if side_weights is None or kernel.neighbors is not None else side_weights[m]
        if kernel.guide is None and not exact and not thetas.requires_grad:
            lattice, factors = _position_lattice(
                tuple(like.shape[2:]), spacing and tuple(spacing), tuple(thetas.tolist()), normalization, exclude_self,
                dilate, like.dtype, like.device, build_key(like.dtype, like.device),
            )  # fmt: skip
            if sides is not None:
                lattice = _with_side_weights(lattice, sides, kernel)
                factors = normalizer(lattice, normalization, exclude_self)
            matrices.append(lattice.repeat(batch))
            normalizers.append(factors.repeat(batch))
            continue
        if kernel.neighbors is not None:
            features = rearrange(guides[IMAGE], "b c ... -> b ... c") / thetas
            check_reach(features.flatten(1, -2))
            matrices.append(GridMatrix(rearrange(features, "b ... c -> b c ..."), kernel.neighbors, spacing))
        elif exact and kernel.guide is None and not exclude_self and max(like.shape[2:]) ** 2 <= TILE_ENTRIES:
            axes = axis_positions(like.shape[2:], like, spacing)
            units = thetas.expand(len(axes))
            matrices.append(PositionMatrix([axis / unit for axis, unit in zip(axes, units, strict=True)], batch))
        else:
            features = kernel_features(kernel, thetas, guides, like, spacing)
            if exact:
                matrices.append(ExactMatrix(features, exclude_self))
            else:
                lattice = Lattice.build(features, dilate=dilate)
                matrices.append(lattice if sides is None else _with_side_weights(lattice, sides, kernel))
        normalizers.append(normalizer(matrices[-1], normalization, exclude_self))
    lattices = [matrix for matrix in matrices if isinstance(matrix, Lattice)]
    if len(lattices) < len(matrices):
        return Kernels(matrices, normalizers)
    return LatticeKernels(lattices, normalizers)
