"""Photographs and probabilities in the forms in which people have them, and back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

Photo = Tensor
"""RGB, float32 [3, H, W] in 0..255; of a gray image all three are equal"""
CHANNELS = (1, 3)
ROUNDING = 1e-3
"""by how much numbers in 0..1 may miss that range, as sums and undone normalizations do"""


@dataclass(frozen=True)
class Probabilities:
    """Probabilities of L >= 2 labels, float32 [L, *space]; `like` puts others of this shape into the caller's form."""

    values: Tensor
    like: Callable[[Tensor], Any]


def read_photo(name: str, image: Any) -> Photo:
    """A photograph from an image of Pillow, an array or a tensor; see `crfrnn.refine`.

    Raises TypeError or ValueError, calling it `name`, for anything else.
    """
    if _is_pillow(image):
        image = pillow_levels(name, image)
    values = _tensor(name, image)
    if values.ndim == 2:
        values = values[None]
    elif values.ndim == 3:
        # Where both ends could be channels, arrays end in them, as images that were read do, and tensors begin with them.
        ends = (values.shape[0] in CHANNELS, values.shape[2] in CHANNELS)
        if ends[1] and not (ends[0] and isinstance(image, Tensor)):
            values = values.movedim(2, 0)
    if values.ndim != 3 or values.shape[0] not in CHANNELS or 0 in values.shape:
        raise ValueError(
            f"{name} has shape {list(values.shape)}; wanted [H, W, 3], [3, H, W] or [H, W], or spacing=, which says that it "
            "is a signal or volume"
        )
    return _gray_levels(name, values.expand(3, -1, -1), "the photograph itself, before it is normalized")


def pillow_levels(name: object, image: Any) -> np.ndarray:
    """An image of Pillow of any mode as RGB, uint8 [H, W, 3]; 16-bit gray levels are divided by 257. `name` is for messages.

    Raises ValueError for 32-bit numbers, whole or floating-point, since they do not tell what value is white.
    """
    if image.mode.startswith("I;16"):
        gray = np.asarray(image).astype(np.uint32)
        return np.repeat(((gray + 128) // 257).astype(np.uint8)[..., None], 3, 2)
    if image.mode in ("I", "F"):
        kind = "whole" if image.mode == "I" else "floating-point"
        raise ValueError(
            f"{name} holds 32-bit {kind} numbers, which do not tell what value is white; wanted 8 or 16 bits a channel: "
            "scale its values to 0..255 and store them as 8-bit numbers"
        )
    return np.array(image.convert("RGB"))


def read_volume(name: str, image: Any, axes: int) -> Tensor:
    """A signal or volume, float32 [C, *space] in 0..255, from an array or a tensor [*space] or [C, *space].

    Raises TypeError or ValueError, calling it `name`, for anything else.
    """
    if _is_pillow(image):
        raise TypeError(f"{name} is an image of Pillow; wanted a NumPy array or a tensor of {axes} axes")
    values = _tensor(name, image)
    values = values[None] if values.ndim == axes else values
    if values.ndim != axes + 1 or 0 in values.shape:
        raise ValueError(
            f"{name} has shape {list(values.shape)}; wanted {axes} axes as the spacing has numbers, or channels before them"
        )
    return _gray_levels(name, values, "scale the range that matters to it, (x - low) / (high - low), and clip the rest")


def _gray_levels(name: str, values: Tensor, how: str) -> Tensor:
    if values.dtype == torch.uint8:
        return values.float()
    if not values.is_floating_point():
        raise TypeError(f"{name} is {values.dtype}; wanted uint8, or floating point in 0..1 or 0..255")
    low, high = _range(values)
    white = 1 if high <= 1 + ROUNDING else 255
    if not (low >= -ROUNDING * white and high <= white * (1 + ROUNDING)):
        raise ValueError(f"{name} lies in {low:.3g}..{high:.3g}; wanted 0..1 or 0..255: {how}")
    return values.float().clamp(0, white) * (255 / white)


def _range(values: Tensor) -> list[float]:
    """The least and the largest number, fetched at once; NaN where any is."""
    return torch.stack([values.amin(), values.amax()]).tolist()


def read_probabilities(name: str, given: Any, size: tuple[int, ...]) -> Probabilities:
    """Probabilities over an image of `size` from an image of Pillow, an array or a tensor; see `crfrnn.refine`.

    Raises TypeError or ValueError, calling them `name`, where they are none, or do not fit.
    """
    if _is_pillow(given):
        return _of_pillow(name, given, size)
    values = _tensor(name, given)
    axis = _label_axis(name, values, size)
    rows = values[None] if axis is None else values.movedim(axis, 0)
    rows = _in_0_to_1(name, rows)
    single = len(rows) == 1
    if single:
        if values.dtype == torch.uint8 and int(values.max()) == 1:
            raise ValueError(
                f"{name} are uint8 and hold nothing but 0 and 1 of 255; wanted 255 where the object is, or a mask of bool: "
                "mask.astype(bool), as a tensor mask.bool()"
            )
        rows = torch.cat([1 - rows, rows])
    else:
        sums = rows.sum(0)
        if float((sums - 1).abs().max()) > _rounding(values.dtype, len(rows)):
            raise ValueError(
                f"{name} sum to {float(sums.min()):.3g}..{float(sums.max()):.3g} over labels; wanted 1: take the softmax of "
                "logits, or refine one class at a time, as [H, W]"
            )
        rows = rows / sums

    def like(refined: Tensor) -> Any:
        refined = refined[1:] if single else refined
        shaped = refined[0] if axis is None else refined.movedim(0, axis)
        shaped = _as_type(shaped, values.dtype).contiguous()
        return shaped if isinstance(given, Tensor) else shaped.numpy()

    return Probabilities(rows, like)


def _rounding(dtype: torch.dtype, labels: int) -> float:
    """By how much probabilities of this type may miss a sum of 1."""
    return max(ROUNDING, torch.finfo(dtype).eps) if dtype.is_floating_point else labels / 255


def _is_pillow(value: Any) -> bool:
    return hasattr(value, "convert") and hasattr(value, "mode")


def _of_pillow(name: str, given: Any, size: tuple[int, ...]) -> Probabilities:
    if given.mode not in ("L", "1"):
        raise ValueError(f"{name} is an image of mode {given.mode!r}; wanted a mask of mode 'L' or '1'")
    of_array = read_probabilities(name, np.array(given), size)

    def like(refined: Tensor) -> Any:
        from PIL import Image

        return Image.fromarray(of_array.like(refined))

    return Probabilities(of_array.values, like)


def _tensor(name: str, value: Any) -> Tensor:
    if not isinstance(value, np.ndarray | Tensor):
        raise TypeError(f"{name} is a {type(value).__name__}; wanted a NumPy array, a tensor or an image of Pillow")
    if isinstance(value, np.ndarray):
        if value.dtype.kind not in "bfui" or value.dtype.itemsize > 8 or np.ma.isMaskedArray(value):
            raise TypeError(
                f"{name} is an array of {value.dtype}; wanted one of numbers that torch has, without a mask"
            )
        value = np.ascontiguousarray(value, value.dtype.newbyteorder("="))
        value = torch.from_numpy(value if value.flags.writeable else value.copy())  # torch warns of arrays of Pillow
    if value.layout != torch.strided or value.is_meta or value.is_complex():
        raise TypeError(
            f"{name} is a {value.layout} tensor of {value.dtype} on {value.device}; wanted a dense one of numbers"
        )
    return value.detach()


def _label_axis(name: str, values: Tensor, size: tuple[int, ...]) -> int | None:
    """Which of the axes counts labels; None where there is none."""
    if tuple(values.shape) == size:
        return None
    if values.ndim == len(size) + 1 and values.numel():
        if tuple(values.shape[1:]) == size:
            return 0
        if tuple(values.shape[:-1]) == size:
            return len(size)
    if len(size) == 2:
        found, wanted = f"{size[0]} rows and {size[1]} columns", "[H, W], [L, H, W] or [H, W, L] of that size"
    else:
        found, wanted = f"shape {list(size)}", "that shape, with labels before or after it where there are several"
    raise ValueError(
        f"{name} have shape {list(values.shape)}, the image has {found}; wanted {wanted}: "
        "torch.nn.functional.interpolate stretches a map to the image"
    )


def _in_0_to_1(name: str, rows: Tensor) -> Tensor:
    if rows.dtype == torch.bool:
        return rows.float()
    if rows.dtype == torch.uint8:
        return rows.float() / 255
    if not rows.is_floating_point():
        raise TypeError(f"{name} are {rows.dtype}; wanted floating point in 0..1, uint8 in 0..255, or bool")
    low, high = _range(rows)
    if not (low >= -ROUNDING and high <= 1 + ROUNDING):
        raise ValueError(f"{name} lie in {low:.3g}..{high:.3g}; wanted 0..1: take the sigmoid or softmax of logits")
    return rows.float().clamp(0, 1)


def _as_type(values: Tensor, dtype: torch.dtype) -> Tensor:
    if dtype == torch.bool:
        return values > 0.5
    return (255 * values).round().to(dtype) if dtype == torch.uint8 else values.to(dtype)
