"""Fewer taps and channels for fc6 and fc7: the field of view of a full VGG-16 made smaller, or sparser."""

import torch
from einops import rearrange

VGG_KERNEL = 7


def taps(kernel: int) -> list[int]:
    """Which rows and columns of the 7x7 fc6 a smaller kernel keeps: evenly spaced, first and last among them.

    4x4 keeps 0, 2, 4, 6 and 3x3 keeps 0, 3, 6. Raises ValueError for sizes that cannot be spaced evenly.
    """
    if kernel not in (2, 3, 4, 7):
        raise ValueError(f"fc6 cannot be decimated to {kernel}x{kernel}; wanted 7, 4, 3 or 2, evenly spaced taps of 7")
    return list(range(0, VGG_KERNEL, (VGG_KERNEL - 1) // (kernel - 1)))


def decimate_fc6(
    weight: torch.Tensor, bias: torch.Tensor, kernel: int, channels: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """fc6 of VGG-16 with `kernel` x `kernel` of its taps and `channels` of its outputs, the first of every few.

    Args:
        weight: [O, C, 7, 7], or the matrix [O, C * 49] that torchvision and Caffe's classifiers have.
        bias: [O].

    Returns weight [channels, C, kernel, kernel] and bias [channels]; nothing is rescaled (plain decimation, as in the
    paper). Raises ValueError where `channels` does not divide O, or the shapes are no fc6.
    """
    if weight.ndim == 2 and weight.shape[1] % VGG_KERNEL**2 == 0:
        weight = rearrange(weight, "o (c h w) -> o c h w", h=VGG_KERNEL, w=VGG_KERNEL)
    if weight.ndim != 4 or weight.shape[2:] != (VGG_KERNEL, VGG_KERNEL):
        raise ValueError(f"weight has shape {list(weight.shape)}; wanted fc6 of VGG-16, [O, C, 7, 7] or [O, C * 49]")
    step = _step(weight.shape[0], channels)
    kept = taps(kernel)
    return weight[::step][:, :, kept][..., kept].clone(), bias[::step].clone()


def decimate_fc7(weight: torch.Tensor, bias: torch.Tensor, channels: int) -> tuple[torch.Tensor, torch.Tensor]:
    """fc7 of VGG-16 between the same `channels` that `decimate_fc6` keeps.

    Args:
        weight: [O, O, 1, 1] or [O, O].
        bias: [O].

    Returns weight [channels, channels, 1, 1] and bias [channels]. Raises ValueError as `decimate_fc6`.
    """
    if weight.shape[:2] != (weight.shape[0],) * 2 or weight[0, 0].numel() != 1:
        raise ValueError(f"weight has shape {list(weight.shape)}; wanted fc7 of VGG-16, [O, O, 1, 1] or [O, O]")
    step = _step(weight.shape[0], channels)
    return weight.flatten(1)[::step, ::step, None, None].clone(), bias[::step].clone()


def _step(available: int, channels: int) -> int:
    if not 0 < channels <= available or available % channels:
        raise ValueError(f"cannot keep {channels} of {available} channels evenly; wanted a divisor of {available}")
    return available // channels
