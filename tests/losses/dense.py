"""The yardstick of the losses: sums over all pairs of pixels, written out for one image."""

import torch
from torch import Tensor

from crfrnn import Kernel, appearance_kernel, feature_kernel, grid_kernel, smoothness_kernel
from tests.dense_meanfield import dense_features, dense_kernel, dense_normalized
from tests.kernels.test_grid import dense_grid

KERNELS = [
    smoothness_kernel(1.5, 0.7),
    appearance_kernel(4.0, 60.0, 1.3),
    feature_kernel("depth", 0.8, 0.5, theta_position=3.0),
    grid_kernel(8, 50.0, 0.4),
]


def dense_matrix(
    kernels: list[Kernel], image: Tensor, depth: Tensor, normalization: str, bandwidths: list[Tensor] | None = None
) -> Tensor:
    """W = sum_m w_m K_m [N, N] for an image and a depth [C, H, W]."""
    total = image.new_zeros(image[0].numel(), image[0].numel())
    for m, kernel in enumerate(kernels):
        thetas = image.new_tensor(kernel.bandwidths) if bandwidths is None else bandwidths[m]
        if kernel.neighbors is not None:
            matrix = dense_grid(image, kernel.neighbors, thetas[0])
        else:
            guide = {None: image, "image": image, "depth": depth}[kernel.guide]
            parts = []
            if kernel.theta_position is not None:
                parts.append(dense_features(guide, thetas[0]))
            if kernel.guide is not None:
                parts.append(guide.flatten(1).T / thetas[-1])
            matrix = dense_kernel(torch.cat(parts, 1))
        total = total + kernel.weight * dense_normalized(matrix, normalization, False)
    return total


def cut(probabilities: Tensor, mask: Tensor, matrix: Tensor) -> Tensor:
    """sum over pairs i, j and labels k of m_i S_ik W_ij m_j (1 - S_jk), for probabilities [L, H, W]."""
    beliefs, inside = probabilities.flatten(1), mask.flatten()
    total = matrix.new_zeros(())
    for label in beliefs:
        total = total + (matrix * torch.outer(inside * label, inside * (1 - label))).sum()
    return total


def problem(
    batch: int = 2, labels: int = 3, height: int = 5, width: int = 6, dtype: torch.dtype = torch.float64
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Probabilities, image, depth, and a mask that holds fractions."""
    probabilities = (2 * torch.randn(batch, labels, height, width, dtype=dtype)).softmax(1)
    image = 255 * torch.rand(batch, 3, height, width, dtype=dtype)
    mask = torch.rand(batch, height, width, dtype=dtype).mul(3).sub(1).clamp(0, 1)
    return probabilities, image, torch.randn(batch, 2, height, width, dtype=dtype), mask
