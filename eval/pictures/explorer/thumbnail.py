"""A copy of a photograph and its scores that is small enough for sums over all pairs of its pixels."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

MOST_PIXELS = 10_000


def thumbnail_size(height: int, width: int) -> tuple[int, int]:
    """Height and width of about MOST_PIXELS pixels in the shape of a picture; its own where it has no more."""
    scale = min(1.0, math.sqrt(MOST_PIXELS / (height * width)))
    return max(1, math.floor(height * scale)), max(1, math.floor(width * scale))


def reduced(photo: Tensor, unary: Tensor) -> tuple[Tensor, Tensor]:
    """Photo uint8 [3, H, W] and logits [L, H, W] on the CPU, averaged over the cells of the thumbnail."""
    size = thumbnail_size(photo.shape[1], photo.shape[2])
    small = F.interpolate(photo[None].float(), size, mode="area")[0].round().to(torch.uint8)
    return small, F.interpolate(unary[None].float(), size, mode="area")[0]
