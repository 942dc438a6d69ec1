"""A learned guide: what the pair term looks at instead of the colors of the image."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
import torch.nn as nn
from torch import Tensor

from crfrnn.kernels.build import Spacing
from crfrnn.meanfield import CRFRNN
from crfrnn.state import MeanFieldState, widened

LEARNED = "learned"
"""the name of the guide, as `feature_kernel` knows it"""
COLORS = 3


class LearnedGuide(nn.Module):
    """Colors, corrected by what early layers of a network see, and further channels of that alone; in gray levels.

    Each early layer passes a 1 x 1 convolution without bias, in units of the root mean square of the layer over the image.
    The first three channels of the guide are the image plus the sum over the layers, and begin as the image: a kernel of
    such a guide begins as the appearance kernel. Channels beyond the third begin with a deviation of about one gray level,
    as a kernel has no gradient to a channel that is the same everywhere.

    Args:
        before: channels of the early layers.
        channels: of the guide, 3 to 5.
    """

    def __init__(self, before: Sequence[int], channels: int = COLORS) -> None:
        super().__init__()
        if channels not in (3, 4, 5):
            raise ValueError(f"guide_channels is {channels}; wanted 3 to 5, or 0 for the colors of the image")
        self.channels = channels
        self.embed = nn.ModuleList(nn.Conv2d(each, channels, 1, bias=False) for each in before)
        for layer in self.embed:
            nn.init.zeros_(layer.weight)  # type: ignore[arg-type]
            nn.init.normal_(layer.weight[COLORS:], std=sum(before) ** -0.5)  # type: ignore[index]

    def embeddings(self, early: Sequence[Tensor]) -> list[Tensor]:
        """What each of the early layers [B, C, h, w] adds to the guide, at the density of the layer: [B, channels, h, w]."""
        return [layer(in_units(each)) for layer, each in zip(self.embed, early, strict=True)]

    def forward(self, image: Tensor, embeddings: Sequence[Tensor]) -> Tensor:
        """The guide [B, channels, H, W] of an image [B, 3, H, W] and of `embeddings` brought to its pixels."""
        colors = nn.functional.pad(image, (0, 0, 0, 0, 0, self.channels - COLORS))
        return torch.stack([colors, *embeddings]).sum(0)


def check_guide(crf: CRFRNN | None, channels: int) -> None:
    """Raise ValueError unless there is a learned guide exactly where the CRF looks at one."""
    looked_at = crf is not None and any(kernel.guide == LEARNED for kernel in crf.kernels)
    if looked_at and not channels:
        raise ValueError(f"guide_channels is 0, but a kernel of the CRF looks at {LEARNED!r}; wanted 3 to 5 channels")
    if channels and not looked_at:
        raise ValueError(
            f"guide_channels is {channels}, but no kernel of a CRF looks at the guide; wanted a CRFRNN with "
            f"feature_kernel({LEARNED!r}, theta_beta, weight, theta_alpha), or 0"
        )


def in_units(values: Tensor) -> Tensor:
    """`values` [B, C, h, w] over their root mean square in each image, in float32 at least: half precision lacks squares."""
    values = widened(values)
    return values / values.square().mean((1, 2, 3), keepdim=True).clamp(min=torch.finfo(values.dtype).eps).sqrt()


class GuidedCRF:
    """A CRF whose learned guide is computed from the image: called like the CRF itself, and otherwise the same.

    Args:
        crf: with a `feature_kernel` that looks at "learned".
        guide: images [B, 3, H, W] -> guides [B, C, H, W].
    """

    def __init__(self, crf: CRFRNN, guide: Callable[[Tensor], Tensor]) -> None:
        self.crf, self.guide = crf, guide

    def __call__(
        self,
        unary: Tensor,
        image: Tensor,
        num_iterations: int | None = None,
        tolerance: float | None = None,
        features: Mapping[str, Tensor] | None = None,
        spacing: Spacing = None,
    ) -> Tensor:
        return self.crf(unary, image, num_iterations, tolerance, self._and_learned(features, image), spacing)

    def iterate(
        self,
        unary: Tensor,
        image: Tensor,
        num_iterations: int | None = None,
        features: Mapping[str, Tensor] | None = None,
        spacing: Spacing = None,
    ) -> Iterator[MeanFieldState]:
        return self.crf.iterate(unary, image, num_iterations, self._and_learned(features, image), spacing)

    def _and_learned(self, features: Mapping[str, Tensor] | None, image: Tensor) -> dict[str, Tensor]:
        return {LEARNED: self.guide(image), **(features or {})}

    def __getattr__(self, name: str) -> Any:
        if name == "crf" or name.startswith("__"):  # what copy and pickle ask for before there is a `crf`
            raise AttributeError(name)
        return getattr(self.crf, name)
