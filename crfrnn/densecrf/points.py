"""What a pairwise term compares: points with features of any kind, or the pixels of an image, with or without colors."""

from collections.abc import Sequence
from ctypes import CDLL
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

import torch
from torch import Tensor

from crfrnn.fused import dense_crf
from crfrnn.kernels import Normalization
from crfrnn.kernels.normalizers import Normalizer, normalizer
from crfrnn.lattice import Lattice
from crfrnn.lattice.backends import build_key
from crfrnn.lattice.checks import MAX_DIMENSIONS

# Larger lattices are not kept: each pixel takes 30 bytes.
KEPT_PIXELS = 1 << 20


class Points(Protocol):
    """A kernel over these points is built as tensors on a device, or in memory of the compiled code."""

    def lattice(self, normalization: Normalization, device: torch.device) -> tuple[Lattice, Normalizer]:
        """The lattice of the points and what normalizes it."""

    def term(self, library: CDLL, normalization: Normalization, threads: int) -> dense_crf.Term:
        """The same in compiled code, for so many threads."""


@dataclass(frozen=True, eq=False)
class FeaturePoints:
    """Points with features [N, D], in units of their bandwidths."""

    features: Tensor

    def __post_init__(self) -> None:
        _check_dimensions(self.features.shape[1])

    def lattice(self, normalization: Normalization, device: torch.device) -> tuple[Lattice, Normalizer]:
        lattice = Lattice.build(self.features[None].to(device))
        return lattice, normalizer(lattice, normalization, False)

    def term(self, library: CDLL, normalization: Normalization, threads: int) -> dense_crf.Term:
        return dense_crf.Term.of_features(library, self.features.cpu(), normalization, threads)


@dataclass(frozen=True, eq=False)
class ColoredPixels:
    """The pixels of an image [h, w, C], row by row: (x, y, channels) over their bandwidths, 2 + C numbers."""

    image: Tensor
    thetas: Sequence[float]

    def __post_init__(self) -> None:
        _check_dimensions(len(self.thetas))

    def lattice(self, normalization: Normalization, device: torch.device) -> tuple[Lattice, Normalizer]:
        return self._with_features().lattice(normalization, device)

    def term(self, library: CDLL, normalization: Normalization, threads: int) -> dense_crf.Term:
        term = dense_crf.Term.of_pixels(library, self.image.cpu(), self.thetas, normalization, threads)
        return (
            self._with_features().term(library, normalization, threads) if term is None else term
        )  # says what is too large

    def _with_features(self) -> FeaturePoints:
        height, width, channels = self.image.shape
        features = self.image.new_empty(height, width, 2 + channels)
        features[..., 0] = torch.arange(width, device=features.device)
        features[..., 1] = torch.arange(height, device=features.device)[:, None]
        features[..., 2:] = self.image
        return FeaturePoints((features / features.new_tensor(self.thetas)).flatten(0, 1))


@dataclass(frozen=True)
class Pixels:
    """The pixels of an image at (x / sxy[0], y / sxy[1]). Images of the same size share their kernels."""

    height: int
    width: int
    sxy: tuple[float, float]

    @property
    def kept(self) -> bool:
        return self.height * self.width <= KEPT_PIXELS

    def lattice(self, normalization: Normalization, device: torch.device) -> tuple[Lattice, Normalizer]:
        build = _pixel_lattice if self.kept else _pixel_lattice.__wrapped__
        return build(self, normalization, device, build_key(torch.float32, device))

    def term(self, library: CDLL, normalization: Normalization, threads: int) -> dense_crf.Term:
        build = _pixel_term if self.kept else _pixel_term.__wrapped__
        return build(library, self, normalization, threads)

    def without_colors(self, device: torch.device) -> ColoredPixels:
        return ColoredPixels(torch.empty(self.height, self.width, 0, dtype=torch.float32, device=device), self.sxy)


@lru_cache(maxsize=4)
def _pixel_lattice(
    pixels: Pixels, normalization: Normalization, device: torch.device, key: int
) -> tuple[Lattice, Normalizer]:
    """`key` tells apart lattices that are built differently, see `build_key`."""
    return pixels.without_colors(device).lattice(normalization, device)


@lru_cache(maxsize=4)
def _pixel_term(library: CDLL, pixels: Pixels, normalization: Normalization, threads: int) -> dense_crf.Term:
    return pixels.without_colors(torch.device("cpu")).term(library, normalization, threads)


def _check_dimensions(dimensions: int) -> None:
    if not 1 <= dimensions <= MAX_DIMENSIONS:
        raise ValueError(
            f"the features have {dimensions} dimensions; wanted 1 to {MAX_DIMENSIONS}. The lattice works in few "
            "dimensions only: project them, by principal components for example"
        )
