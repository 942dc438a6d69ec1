"""Signals, images and volumes with random unaries, and the dense answer for them."""

import torch
from torch import Tensor

from tests.dense_meanfield import Theta, dense_features, dense_kernel, dense_meanfield, dense_normalized

LABELS = 3
SIZES = {1: (23,), 2: (4, 6), 3: (3, 4, 5)}
SPACING = {1: (0.5,), 2: (0.75, 1.25), 3: (2.0, 0.75, 1.25)}


def problem(
    size: tuple[int, ...], batch: int = 2, channels: int = 2, dtype: torch.dtype = torch.float64
) -> tuple[Tensor, Tensor]:
    unary = 2 * torch.randn(batch, LABELS, *size, dtype=dtype)
    return unary, 255 * torch.rand(batch, channels, *size, dtype=dtype)


def gaussian(
    image: Tensor,
    normalization: str,
    theta_position: Theta,
    theta_color: Theta | None = None,
    spacing: tuple[float, ...] | None = None,
    exclude_self: bool = False,
) -> Tensor:
    """A normalized kernel [N, N] of an image [C, *space]."""
    raw = dense_kernel(dense_features(image, theta_position, theta_color, spacing))
    return dense_normalized(raw, normalization, exclude_self)


def dense_logits(unary: Tensor, kernels: list[Tensor], weights: list[float], iterations: int) -> Tensor:
    """Logits [L, *space] of one image under Potts, with kernels [N, N] and a number for each."""
    eye = torch.eye(len(unary), dtype=unary.dtype)
    matrices = [weight * eye for weight in weights]
    rows = dense_meanfield(unary.flatten(1).T, kernels, matrices, 1 - eye, iterations)
    return rows.T.reshape(unary.shape)
