"""Checks of tensors at the public boundary; everything below it trusts its arguments."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from crfrnn.lattice.fallback import missing_on_cpu

MAX_DIMENSIONS = 16


def check_features(features: Tensor) -> None:
    """Require finite float32 or float64 features [B, N, D] with B, N >= 1 and 1 <= D <= 16.

    Raises:
        TypeError: not a tensor, or not float32 or float64.
        ValueError: wrong rank, an empty axis, too many dimensions, or values that are not finite or so large that their
            type has no fractional part.
    """
    check_form(features)
    check_reach(features)


def check_form(features: Tensor) -> None:
    """Of `check_features` what needs no look at the values, for which the host would wait for a GPU."""
    _check_points("features", features, "[B, N, D]")
    if not 1 <= features.shape[2] <= MAX_DIMENSIONS:
        raise ValueError(
            f"features have D = {features.shape[2]} dimensions, wanted 1 to {MAX_DIMENSIONS}; the shape came as "
            f"{list(features.shape)} and is read as [B, N, D], so transpose if D stands elsewhere"
        )


def check_reach(features: Tensor) -> None:
    """Raise ValueError unless features [B, N, D] are finite and small enough for their type to have a fractional part."""
    low, high = extremes(features).tolist()
    check_extremes(low, high, features)


def check_extremes(low: float, high: float, features: Tensor) -> None:
    """As `check_reach`, for features whose least and largest entry are known; NaN where any entry is."""
    if not (math.isfinite(low) and math.isfinite(high)):
        raise ValueError(_not_finite("features", "a bandwidth of 0 or an invalid pixel makes such features"))
    if max(-low, high) * torch.finfo(features.dtype).eps >= 2:
        raise ValueError(describe_reach(features))


def describe_reach(features: Tensor) -> str:
    """What to say of features [B, N, D] that are too large for their type; names the axis that spans most."""
    low, high = torch.stack([features.detach().amin((0, 1)), features.detach().amax((0, 1))]).tolist()
    spans = [top - bottom for bottom, top in zip(low, high, strict=True)]
    axis = max(range(len(spans)), key=lambda i: (spans[i], max(-low[i], high[i])))
    listed = ", ".join(f"{span:.3g}" for span in spans)
    return (
        f"features reach too far for the precision of {features.dtype}: feature axis {axis} spans {spans[axis]:.3g} "
        f"standard deviations, from {low[axis]:.3g} to {high[axis]:.3g} (all axes: {listed}); enlarge the bandwidth that "
        f"axis {axis} is divided by"
    )


def check_values(values: Tensor, batch: int, points: int, dtype: torch.dtype, device: torch.device) -> None:
    """Require finite values [B, N, C] with C >= 1 that match the B, N, dtype and device of the features.

    Raises:
        TypeError: not a tensor, or of another dtype than the features.
        ValueError: wrong rank, B, N or device, no channel, or values that are not finite.
    """
    _check_points("values", values, "[B, N, C]")
    if values.shape[:2] != (batch, points):
        raise ValueError(
            f"values came as {list(values.shape)}, wanted [B, N, C] with B = {batch} and N = {points} as in the "
            "features; points run along axis 1 and channels along axis 2"
        )
    if values.shape[2] < 1:
        raise ValueError(f"values came as {list(values.shape)}, wanted at least one channel along axis 2")
    if values.dtype != dtype:
        raise TypeError(f"values are {values.dtype}, but the features are {dtype}; convert one with .to(dtype)")
    if values.device != device:
        raise ValueError(f"values are on {values.device}, but the features are on {device}; move one with .to(device)")
    _check_finite("values", values, "clamp or mask them before filtering")


def _check_points(name: str, tensor: Tensor, layout: str) -> None:
    if not isinstance(tensor, Tensor):
        raise TypeError(f"{name} came as {type(tensor).__name__}, wanted a torch.Tensor {layout}; use torch.as_tensor")
    if tensor.ndim != 3:
        raise ValueError(f"{name} came with shape {list(tensor.shape)}, wanted {layout}; a single set has B = 1")
    if tensor.dtype not in (torch.float32, torch.float64):
        raise TypeError(f"{name} are {tensor.dtype}, wanted torch.float32 or torch.float64; convert with .float()")
    if tensor.shape[0] < 1 or tensor.shape[1] < 1:
        raise ValueError(f"{name} came with shape {list(tensor.shape)}, wanted {layout} with B >= 1 and N >= 1")


def extremes(tensor: Tensor) -> Tensor:
    """The least and the largest entry [2]; NaN where any is."""
    with missing_on_cpu(tensor.device):
        return torch.stack(torch.aminmax(tensor.detach()))


def all_finite(tensor: Tensor) -> bool:
    """Whether no entry is infinite or NaN. The sum tells at once where it is finite, several times faster."""
    tensor = tensor.detach()
    return bool(tensor.sum().isfinite()) or bool(tensor.isfinite().all())


def _check_finite(name: str, tensor: Tensor, hint: str) -> None:
    if not all_finite(tensor):
        raise ValueError(_not_finite(name, hint))


def _not_finite(name: str, hint: str) -> str:
    return f"{name} contain NaN or infinite entries, wanted finite ones; {hint}"
