"""What one iteration of mean field leaves to look at."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from einops import rearrange, reduce
from torch import Tensor

from crfrnn.free_energy import free_energy


@dataclass(frozen=True, eq=False)
class MeanFieldState:
    """Where mean field stands after some iterations; iteration 0 is the unary alone. Logits and beliefs: [B, L, H, W]."""

    iteration: int
    logits: Tensor
    beliefs: Tensor
    previous: Tensor | None
    """the beliefs one iteration before; None for iteration 0"""
    _unary: Tensor  # [B, N, L]
    _penalty: Callable[[Tensor], Tensor]  # of beliefs [B, N, L]

    def residual(self) -> Tensor:
        """Largest change of any belief of each image in the last iteration, [B]; infinite for iteration 0."""
        if self.previous is None:
            return self.beliefs.new_full((len(self.beliefs),), torch.inf)
        return reduce((self.beliefs - self.previous).abs(), "b l h w -> b", "max")

    def free_energy(self) -> Tensor:
        """The mean-field objective of the beliefs [B], at the price of one message passing; see crfrnn.free_energy."""
        with torch.autocast(self.beliefs.device.type, enabled=False):
            beliefs = to_pixels(self.beliefs)
            return free_energy(beliefs, self._unary, self._penalty(beliefs))


def to_pixels(image: Tensor) -> Tensor:
    """[B, L, H, W] -> [B, N, L], one row of labels per pixel."""
    return rearrange(image, "b l h w -> b (h w) l").contiguous()


def to_image(pixels: Tensor, height: int, width: int) -> Tensor:
    """[B, N, L] -> [B, L, H, W]."""
    return rearrange(pixels, "b (h w) l -> b l h w", h=height, w=width)


def widened(unary: Tensor) -> Tensor:
    """Half precision as float32; float32 and float64 as they are."""
    return unary.to(torch.promote_types(unary.dtype, torch.float32))
