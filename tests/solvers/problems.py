"""A photograph with noisy scores, small problems, and the pair term as one dense matrix."""

import numpy as np
import torch
from matplotlib.cbook import get_sample_data
from PIL import Image
from torch import Tensor

from crfrnn import CRFRNN, Kernel, appearance_kernel, smoothness_kernel
from tests.dense_meanfield import dense_features, dense_kernel, dense_normalized

LABELS, HEIGHT, WIDTH = 3, 5, 6
GAMMA, ALPHA, BETA = 1.5, 4.0, 60.0
KERNELS = [smoothness_kernel(GAMMA, 0.8), appearance_kernel(ALPHA, BETA, 1.3)]


def photograph(height: int = 40, width: int = 34) -> Tensor:
    """The portrait that matplotlib ships, [1, 3, height, width] in 0..255, float64."""
    with get_sample_data("grace_hopper.jpg") as file:
        image = Image.open(file).convert("RGB").resize((width, height))
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].double()


def scores(image: Tensor, labels: int = 4) -> Tensor:
    """Logits of labels that are gray levels, and noise that only neighbors can take out: [1, labels, H, W]."""
    centers = torch.linspace(20, 235, labels, dtype=image.dtype)[:, None, None]
    near = -((image.mean(1) - centers) / 60).square()[None]
    return near + 1.5 * torch.randn_like(near)


def problem(batch: int = 2) -> tuple[Tensor, Tensor]:
    """Random unaries and images, float64."""
    unary = 2 * torch.randn(batch, LABELS, HEIGHT, WIDTH, dtype=torch.float64)
    return unary, 255 * torch.rand(batch, 3, HEIGHT, WIDTH, dtype=torch.float64)


def dense_pair_term(crf: CRFRNN, image: Tensor) -> Tensor:
    """P [N L, N L] of an exact layer over KERNELS for one image [C, H, W], so that P vec(Q) are the penalties."""
    mu, weights = crf.cell.compatibility.detach().double(), crf.cell.kernel_weights.detach().double()
    features = [dense_features(image, GAMMA), dense_features(image, ALPHA, BETA)]
    total = torch.zeros(HEIGHT * WIDTH * LABELS, HEIGHT * WIDTH * LABELS, dtype=torch.float64)
    for each, weight in zip(features, weights, strict=True):
        kernel = dense_normalized(dense_kernel(each), crf.normalization, crf.exclude_self)
        matrix = weight if weight.ndim == 2 else torch.diag(weight.expand(LABELS))
        total += torch.kron(kernel, mu @ matrix)
    return total


def rows(images: Tensor) -> Tensor:
    """[B, L, H, W] -> [B, N, L]."""
    return images.flatten(2).transpose(1, 2)


def attracting(weight: float = 2.0) -> list[Kernel]:
    return [smoothness_kernel(2.0, weight), appearance_kernel(8.0, 25.0, weight)]
