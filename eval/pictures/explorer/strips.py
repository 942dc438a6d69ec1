"""Maps in few bytes: integers, each predicted from those before and around it, and what is left deflated.

A page reads them with `DecompressionStream`, which gives back every byte; pixels of a canvas, which PNG or WebP would need,
are changed on purpose by browsers that hide who is reading. codec.js is the inverse.
"""

import base64
import zlib
from typing import Any

import numpy as np
from torch import Tensor

LEVEL = 9


def strip(values: np.ndarray) -> dict[str, Any]:
    """Frames of integers, uint8 or uint16 [F, H, W], as plain values for JSON: exactly these come back."""
    bits = 8 * values.dtype.itemsize
    packed = {spatial: _deflated(_residuals(values, bits, spatial), bits) for spatial in (False, True)}
    spatial = len(packed[True]) < len(packed[False])
    frames, height, width = values.shape
    return {
        "bits": bits,
        "frames": frames,
        "height": height,
        "width": width,
        "spatial": spatial,
        "data": base64.b64encode(packed[spatial]).decode(),
    }


def quantized(values: Tensor, low: float, high: float, bits: int = 8) -> dict[str, Any]:
    """Frames of numbers [F, H, W] from `low` to `high`, rounded to the nearest of 2^bits equal steps, as a strip."""
    steps = 2**bits - 1
    scaled = (values.double() - low) * (steps / max(high - low, 1e-12))
    integers = scaled.round().clamp(0, steps).cpu().numpy().astype(f"uint{bits}")
    return {**strip(integers), "low": low, "high": high}


def spanned(values: Tensor, bits: int) -> dict[str, Any]:
    """`quantized` from the least to the largest of the values."""
    return quantized(values, float(values.min()), float(values.max()), bits)


def _residuals(values: np.ndarray, bits: int, spatial: bool) -> np.ndarray:
    """What the predictions leave, modulo 2^bits.

    A frame is predicted by the one before; the difference, centered, then by its neighbors above and to the left, if
    `spatial` (Weinberger et al. 2000, the predictor of JPEG-LS).
    """
    frames = values.astype(np.int32)
    frames[1:] = frames[1:] - frames[:-1] + 2 ** (bits - 1)
    frames %= 2**bits
    return (frames - _predicted(frames) if spatial else frames) % 2**bits


def _predicted(frames: np.ndarray) -> np.ndarray:
    padded = np.pad(frames, ((0, 0), (1, 0), (1, 0)))
    left, above, corner = padded[:, 1:, :-1], padded[:, :-1, 1:], padded[:, :-1, :-1]
    smaller, larger = np.minimum(left, above), np.maximum(left, above)
    return np.where(corner >= larger, smaller, np.where(corner <= smaller, larger, left + above - corner))


def _deflated(residuals: np.ndarray, bits: int) -> bytes:
    """The low bytes of all numbers, then the high ones, compressed."""
    planes = [residuals >> shift & 255 for shift in range(0, bits, 8)]
    compressor = zlib.compressobj(LEVEL, zlib.DEFLATED, -15)
    raw = b"".join(plane.astype(np.uint8).tobytes() for plane in planes)
    return compressor.compress(raw) + compressor.flush()
