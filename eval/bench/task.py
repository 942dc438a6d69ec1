"""The input of the benchmarks: a photograph or a drawn scene, and synthetic unaries."""

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

from crfrnn.data import read_image
from crfrnn.data.scenes import draw_scene
from eval.inputs.scores_file import stretched

COMMON_SIZE = (319, 500)  # height and width of the common task where no photograph is given


def guide_image(path: Path | None, size: tuple[int, int] = COMMON_SIZE) -> Tensor:
    """A photograph at its own size or, without a `path`, a drawn scene of `size`: float32 [1, 3, H, W], 0..255.

    Raises as `read_image`.
    """
    if path is not None:
        return read_image(path)[None].float()
    scene, _ = draw_scene(np.random.default_rng(0), size, first_label=1)
    return torch.from_numpy(rearrange(scene, "h w c -> 1 c h w").astype(np.float32))


def resized(image: Tensor, size: tuple[int, int]) -> Tensor:
    """An image [1, 3, H, W], resized to `size` (height, width): bicubic, antialiased, rounded to whole gray levels."""
    if image.shape[-2:] == size:
        return image
    return F.interpolate(image, size=size, mode="bicubic", antialias=True).round_().clamp_(0, 255)


def synthetic_unary(labels: int, size: tuple[int, int]) -> Tensor:
    """Random logits [1, L, H, W] as smooth as those of a network: noise on a coarse grid, interpolated."""
    generator = torch.Generator().manual_seed(0)
    coarse = 3 * torch.randn(1, labels, size[0] // 16 + 2, size[1] // 16 + 2, generator=generator)
    return stretched(coarse, size)
