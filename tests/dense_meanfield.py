"""The yardstick of the layers: mean field with dense N x N matrices, written from the papers for one image."""

import itertools

import torch
from torch import Tensor


def dense_kernel(features: Tensor) -> Tensor:
    """exp(-|f_i - f_j|^2 / 2) [N, N] of features [N, D] in units of their bandwidths."""
    return torch.exp(-0.5 * (features[:, None] - features[None]).square().sum(-1))


Theta = float | tuple[float, ...]


def dense_features(
    image: Tensor, theta_position: Theta, theta_color: Theta | None = None, spacing: tuple[float, ...] | None = None
) -> Tensor:
    """Features [N, D] of an image [C, *space]: coordinates over theta_position (x first), then colors over theta_color.

    A tuple has a number for each axis, in their order, or for each channel.
    """
    places = image.new_tensor(list(itertools.product(*map(range, image.shape[1:]))))
    if spacing is not None:
        places = places * image.new_tensor(spacing)
    parts = [(places / _number_or_row(theta_position, image)).flip(1)]
    if theta_color is not None:
        parts.append(image.flatten(1).T / _number_or_row(theta_color, image))
    return torch.cat(parts, 1)


def _number_or_row(theta: Theta, like: Tensor) -> float | Tensor:
    return like.new_tensor(theta) if isinstance(theta, tuple) else theta


def dense_normalized(kernel: Tensor, normalization: str, exclude_self: bool) -> Tensor:
    """The kernel divided by its row sums in one of the four ways."""
    kernel = kernel - torch.diag(kernel.diag()) if exclude_self else kernel
    inverse = 1 / kernel.sum(1)
    return {
        "none": kernel,
        "after": inverse[:, None] * kernel,
        "before": kernel * inverse[None],
        "symmetric": inverse.sqrt()[:, None] * kernel * inverse.sqrt()[None],
    }[normalization]


def dense_meanfield(unary: Tensor, kernels: list[Tensor], weights: list[Tensor], mu: Tensor, iterations: int) -> Tensor:
    """Logits [N, L] after some iterations, from unary logits [N, L], kernels [N, N] and label matrices W [L, L]."""
    logits = unary
    for _ in range(iterations):
        beliefs = torch.softmax(logits, 1)
        messages = sum(kernel @ beliefs @ weight.T for kernel, weight in zip(kernels, weights, strict=True))
        logits = unary - messages @ mu.T
    return logits
