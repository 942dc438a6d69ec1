"""What a pairwise term compares: points with features of any kind, or the pixels of an image by position alone."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

import torch
from torch import Tensor

from crfrnn.kernels import Normalization
from crfrnn.kernels.normalizers import Normalizer, normalizer
from crfrnn.lattice import Lattice
from crfrnn.lattice.backends import build_key
from crfrnn.lattice.checks import MAX_DIMENSIONS

# Larger lattices are not kept: each pixel takes 30 bytes.
KEPT_PIXELS = 1 << 20


class Points(Protocol):
    def lattice(self, normalization: Normalization, device: torch.device) -> tuple[Lattice, Normalizer]:
        """The lattice of the points and what normalizes it."""


@dataclass(frozen=True, eq=False)
class FeaturePoints:
    """Points with features [N, D], in units of their bandwidths."""

    features: Tensor

    def __post_init__(self) -> None:
        dimensions = self.features.shape[1]
        if not 1 <= dimensions <= MAX_DIMENSIONS:
            raise ValueError(
                f"the features have {dimensions} dimensions; wanted 1 to {MAX_DIMENSIONS}. The lattice works in few "
                "dimensions only: project them, by principal components for example"
            )

    def lattice(self, normalization: Normalization, device: torch.device) -> tuple[Lattice, Normalizer]:
        lattice = Lattice.build(self.features[None].to(device))
        return lattice, normalizer(lattice, normalization, False)


@dataclass(frozen=True)
class Pixels:
    """The pixels of an image at (x / sxy[0], y / sxy[1]). Images of the same size share their lattice."""

    height: int
    width: int
    sxy: tuple[float, float]

    def lattice(self, normalization: Normalization, device: torch.device) -> tuple[Lattice, Normalizer]:
        build = _pixel_lattice if self.height * self.width <= KEPT_PIXELS else _pixel_lattice.__wrapped__
        return build(self, normalization, device, build_key(torch.float32, device))


@lru_cache(maxsize=4)
def _pixel_lattice(
    pixels: Pixels, normalization: Normalization, device: torch.device, key: int
) -> tuple[Lattice, Normalizer]:
    """`key` tells apart lattices that are built differently, see `build_key`."""
    place = pixel_features(torch.empty(pixels.height, pixels.width, 0, dtype=torch.float32, device=device))
    return FeaturePoints(place / place.new_tensor(pixels.sxy)).lattice(normalization, device)


def pixel_features(channels: Tensor) -> Tensor:
    """(x, y, channels) of every pixel of an image [h, w, C], row by row: [N, 2 + C]."""
    height, width, count = channels.shape
    features = channels.new_empty(height, width, 2 + count)
    features[..., 0] = torch.arange(width, device=channels.device)
    features[..., 1] = torch.arange(height, device=channels.device)[:, None]
    features[..., 2:] = channels
    return features.flatten(0, 1)
