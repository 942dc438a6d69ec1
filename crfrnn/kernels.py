"""From an image to the normalised Gaussian kernels of the pair term.

A kernel compares positions p (pixels), a guide g (the image in grey levels, or features of the caller's), or both:

    k(i, j) = exp(-|p_i - p_j|^2 / (2 theta_position^2) - |g_i - g_j|^2 / (2 theta_guide^2)),

with theta_position = theta_alpha or theta_gamma and theta_guide = theta_beta in Kraehenbuehl & Koltun 2011, eq. 3. That of
a grid CRF compares neighbours on the grid of pixels alone, see crfrnn/grid.py. Each is
normalised by D_i = sum_j k(i, j), per pixel, after filtering (as CRF-RNN does), before it, symmetrically or not at all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import torch
from einops import rearrange, repeat
from torch import Tensor

from crfrnn import native
from crfrnn.grid import OFFSETS, GridMatrix
from crfrnn.lattice import Lattice, LatticeStack, exact_gaussian_filter
from crfrnn.normalisers import KernelMatrix, Normaliser, Normalization, normaliser

IMAGE = "image"


@dataclass(frozen=True)
class Kernel:
    """One kernel; made by `smoothness_kernel`, `appearance_kernel`, `feature_kernel` and `grid_kernel`.

    `guide` is what it looks at beside positions: None, "image", or the name of features handed over with the image.
    `neighbours` is None for a Gaussian between all pixels, 4 or 8 for a grid.
    """

    weight: float
    theta_position: float | None = None
    theta_guide: float | None = None
    guide: str | None = None
    neighbours: int | None = None

    def __post_init__(self) -> None:
        for name in ("theta_position", "theta_guide"):
            theta = getattr(self, name)
            if theta is not None and not 0 < theta < float("inf"):
                raise ValueError(
                    f"{name} (a bandwidth) is {theta}; wanted a positive finite number of pixels or grey levels"
                )
        if self.theta_position is None and self.theta_guide is None:
            raise ValueError("a kernel without any bandwidth; wanted theta_position, theta_guide or both")
        if (self.guide is None) != (self.theta_guide is None):
            raise ValueError(f"guide is {self.guide!r} and theta_guide {self.theta_guide}; wanted both or none of them")
        if self.neighbours is None:
            return
        if self.neighbours not in OFFSETS:
            raise ValueError(
                f"neighbours is {self.neighbours!r}; a pixel of the grid has 4, or 8 with the diagonal ones"
            )
        if self.guide is None or self.theta_position is not None:
            raise ValueError(
                "a grid kernel compares the colours of neighbours; wanted theta_guide and no theta_position"
            )

    @property
    def bandwidths(self) -> tuple[float, ...]:
        """The bandwidths in use: of positions first, then of the guide."""
        return tuple(theta for theta in (self.theta_position, self.theta_guide) if theta is not None)


def smoothness_kernel(theta_gamma: float = 3.0, weight: float = 3.0) -> Kernel:
    """exp(-|p_i - p_j|^2 / (2 theta_gamma^2)): removes small isolated regions. theta_gamma in pixels."""
    return Kernel(weight, theta_position=float(theta_gamma))


def appearance_kernel(theta_alpha: float = 160.0, theta_beta: float = 3.0, weight: float = 5.0) -> Kernel:
    """Near pixels of similar colour tend to share a label: theta_alpha in pixels, theta_beta in grey levels of 0..255.

    Takes images of any number of channels.
    """
    return Kernel(weight, theta_position=float(theta_alpha), theta_guide=float(theta_beta), guide=IMAGE)


def feature_kernel(name: str, theta: float, weight: float, theta_position: float | None = None) -> Kernel:
    """A kernel over features [B, D, H, W] of the caller's (depth, embeddings, ...), handed over as `features={name: ...}`.

    `theta` is in the units of the features. With `theta_position` (pixels) distant pixels are told apart, too.
    """
    if name == IMAGE:
        raise ValueError(
            f"{IMAGE!r} names the image itself; wanted another name for the features, or appearance_kernel"
        )
    return Kernel(weight, theta_position=theta_position, theta_guide=float(theta), guide=name)


def grid_kernel(neighbours: Literal[4, 8] = 8, theta_beta: float = 10.0, weight: float = 3.0) -> Kernel:
    """exp(-|I_i - I_j|^2 / (2 theta_beta^2)) / |p_i - p_j| between the 4 or 8 nearest pixels: a contrast-sensitive grid CRF.

    theta_beta in grey levels of 0..255; a very large one makes every edge of the grid cost the same. A pixel is no neighbour
    of its own. For the energy of a grid CRF, every edge counted with its weight, take normalization="none".
    """
    return Kernel(weight, theta_guide=float(theta_beta), guide=IMAGE, neighbours=neighbours)


def positions(height: int, width: int, like: Tensor) -> Tensor:
    """Pixel coordinates (x, y) [N, 2] in row-major order, with the dtype and on the device of `like`."""
    y, x = torch.meshgrid(
        torch.arange(height, dtype=like.dtype, device=like.device),
        torch.arange(width, dtype=like.dtype, device=like.device),
        indexing="ij",
    )
    return torch.stack([rearrange(x, "h w -> (h w)"), rearrange(y, "h w -> (h w)")], -1)


def kernel_features(kernel: Kernel, bandwidths: Tensor, guides: Mapping[str, Tensor], like: Tensor) -> Tensor:
    """Features f [B, N, D] of a kernel, in units of their bandwidths: k(i, j) = exp(-|f_i - f_j|^2 / 2).

    Args:
        bandwidths: as many numbers as `kernel.bandwidths`; gradients flow to them.
        guides: [B, C, H, W] by name.
        like: [B, _, H, W], for the shape of the image.
    """
    batch, _, height, width = like.shape
    parts, remaining = [], list(bandwidths)
    if kernel.theta_position is not None:
        parts.append(repeat(positions(height, width, like), "n d -> b n d", b=batch) / remaining.pop(0))
    if kernel.guide is not None:
        parts.append(rearrange(guides[kernel.guide], "b c h w -> b (h w) c") / remaining.pop(0))
    return torch.cat(parts, -1)


class ExactKernel:
    """K by the plain sum over all pairs of pixels, O(N^2): the yardstick, for small images."""

    def __init__(self, features: Tensor) -> None:
        self.features = features

    def filter(self, values: Tensor) -> Tensor:
        return exact_gaussian_filter(values, self.features)

    def row_sums(self) -> Tensor:
        return self.filter(torch.ones_like(self.features[..., :1]))[..., 0]

    def diagonal(self) -> Tensor:
        return torch.ones_like(self.features[..., 0])


def weigh(values: Tensor, weight: Tensor) -> Tensor:
    """W_m values [..., L]; `weight` is one number, one per label [L], or a matrix over labels [L, L]."""
    return values @ weight.T if weight.ndim == 2 else values * weight


class Kernels:
    """The normalised kernels of an image, any kind of `KernelMatrix`."""

    def __init__(self, kernels: Sequence[KernelMatrix], normalisers: Sequence[Normaliser]) -> None:
        self.kernels = kernels
        self.normalisers = normalisers

    def weighted_sum(self, values: Tensor, weights: Tensor) -> Tensor:
        """sum_m W_m K_m values: [B, N, L], [M], [M, L] or [M, L, L] -> [B, N, L]."""
        terms = []
        for kernel, factors, weight in zip(self.kernels, self.normalisers, weights, strict=True):
            inner = values if factors.inner is None else values * factors.inner[..., None]
            out = kernel.filter(inner)
            if factors.self_term is not None:
                out = out - factors.self_term[..., None] * inner
            terms.append(weigh(out if factors.outer is None else out * factors.outer[..., None], weight))
        return torch.stack(terms).sum(0)


class LatticeKernels:
    """The same on permutohedral lattices, with one splat and one slice for all kernels.

    What commutes with the filter is moved to where it is cheap: the normalisers into the splat and slice weights (once),
    the kernel weights to the vertices of the lattice.
    """

    def __init__(self, lattices: Sequence[Lattice], normalisers: Sequence[Normaliser]) -> None:
        self.stack = LatticeStack(lattices)
        inner, outer = [factors.inner for factors in normalisers], [factors.outer for factors in normalisers]
        self.splat_weights = self._fold(inner)
        same = all(left is right for left, right in zip(inner, outer, strict=True))
        self.slice_weights = self.splat_weights if same else self._fold(outer)
        self.alphas = [lattice.alpha for lattice in lattices]
        self.self_terms = [_product(f.self_term, f.inner, f.outer) for f in normalisers]

    def _fold(self, factors: Sequence[Tensor | None]) -> Tensor:
        return self.stack.fold([None if factor is None else rearrange(factor, "b n -> (b n)") for factor in factors])

    def weighted_sum(self, values: Tensor, weights: Tensor) -> Tensor:
        """sum_m W_m K_m values: [B, N, L], [M], [M, L] or [M, L, L] -> [B, N, L]."""
        rows = rearrange(values, "b n l -> (b n) l")
        vertices = self.stack.blur(self.stack.splat(rows, self.splat_weights))
        segments = [
            weigh(vertices[rows], alpha * weight)
            for rows, alpha, weight in zip(self.stack.segments, self.alphas, weights, strict=True)
        ]
        out = self.stack.slice(torch.cat(segments), self.slice_weights).view_as(values)
        for term, weight in zip(self.self_terms, weights, strict=True):
            if term is not None:
                out = out - weigh(term[..., None] * values, weight)
        return out


def _product(*factors: Tensor | None) -> Tensor | None:
    """Product of a first factor and those of the others that are there; None where there is no first one."""
    out = factors[0]
    for factor in factors[1:]:
        out = out if out is None or factor is None else out * factor
    return out


@lru_cache(maxsize=4)
def _position_lattice(
    size: tuple[int, int], theta: float, normalization: Normalization, exclude_self: bool, dilate: bool,
    dtype: torch.dtype, device: torch.device, compiled_for: int,
) -> tuple[Lattice, Normaliser]:  # fmt: skip
    """Lattice and normaliser of a kernel over positions, which the size of the image decides alone.

    `compiled_for` tells lattices for different numbers of threads apart, and those in plain torch (0).
    """
    # What is kept has to serve training, too, even where inference mode came first.
    with torch.inference_mode(False), torch.no_grad():
        like = torch.empty(0, dtype=dtype, device=device)
        lattice = Lattice.build(positions(*size, like)[None] / theta, dilate=dilate)
        return lattice, normaliser(lattice, normalization, exclude_self)


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
) -> Kernels | LatticeKernels:
    """The normalised kernels of a batch of images, to be used in every iteration.

    Args:
        kernels: what to build.
        bandwidths: their bandwidths as tensors; gradients flow to those that require one.
        guides: image and features [B, C, H, W] by name.
        like: [B, _, H, W] with the size, dtype and device of the beliefs.
        normalization, exclude_self: see `normaliser`.
        exact: sum over all pairs of pixels instead of the lattice.
        dilate: see `Lattice.build`.
    """
    batch, _, height, width = like.shape
    matrices: list[KernelMatrix] = []
    normalisers = []
    for kernel, thetas in zip(kernels, bandwidths, strict=True):
        if kernel.guide is None and not exact and not thetas.requires_grad:
            lattice, factors = _position_lattice(
                (height, width), float(thetas), normalization, exclude_self, dilate, like.dtype, like.device,
                torch.get_num_threads() if like.device.type == "cpu" and native.library(like.dtype) else 0,
            )  # fmt: skip
            matrices.append(lattice.repeat(batch))
            normalisers.append(factors.repeat(batch))
            continue
        if kernel.neighbours is not None:
            matrices.append(GridMatrix(guides[IMAGE] / thetas, kernel.neighbours))
        else:
            features = kernel_features(kernel, thetas, guides, like)
            matrices.append(ExactKernel(features) if exact else Lattice.build(features, dilate=dilate))
        normalisers.append(normaliser(matrices[-1], normalization, exclude_self))
    lattices = [matrix for matrix in matrices if isinstance(matrix, Lattice)]
    if len(lattices) < len(matrices):
        return Kernels(matrices, normalisers)
    return LatticeKernels(lattices, normalisers)
