"""Maps in few bytes: integers, each predicted from those before and around it, and what is left deflated.

A page reads them with `DecompressionStream`, which gives back every byte; pixels of a canvas, which PNG or WebP would need,
are changed on purpose by browsers that hide who is reading. codec.js is the inverse.
"""

import base64
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import Tensor

Strip = dict[str, Any]
STRATEGIES = (zlib.Z_DEFAULT_STRATEGY, zlib.Z_RLE, zlib.Z_HUFFMAN_ONLY)  # noise is smaller without repetitions
MIX_BITS = 12  # of the fractions of factors between strips


def strip(values: np.ndarray) -> Strip:
    """Frames of integers, uint8 or uint16 [F, H, W], as plain values for JSON: exactly these come back."""
    bits = 8 * values.dtype.itemsize
    plain, spatial = (_bytes(_residuals(values, bits, spatial), bits) for spatial in (False, True))
    better = min(plain, spatial, key=lambda raw: len(_deflated(raw, zlib.Z_HUFFMAN_ONLY)))
    data = min((_deflated(better, strategy) for strategy in STRATEGIES), key=len)
    frames, height, width = values.shape
    return {
        "bits": bits,
        "frames": frames,
        "height": height,
        "width": width,
        "spatial": better is spatial,
        "data": base64.b64encode(data).decode(),
    }


def numbers(values: Tensor, low: float, high: float, steps: int) -> Strip:
    """Frames of numbers [F, H, W] from `low` to `high`, rounded to the nearest of equal steps, as a strip."""
    integers, scale = _quantized(values, low, high, steps)
    return {**strip(integers), **scale}


def spanned(values: Tensor, steps: int) -> Strip:
    """`numbers` from the least to the largest of the values."""
    return numbers(values, float(values.min()), float(values.max()), steps)


def family(values: Sequence[Tensor], low: float, high: float, steps: int) -> list[Strip]:
    """`numbers` of several maps [F, H, W], up to 255 steps, of which some nearly follow from those before, as beliefs do.

    Such a strip holds what a mixture of the ones before it leaves, centered; `mix` are the factors, the constant first.
    """
    before: list[np.ndarray] = []
    strips = []
    for each in values:
        integers, scale = _quantized(each, low, high, steps)
        mix, rest = _mixed(before, integers) if before and each.numel() else (None, integers)
        strips.append({**strip(rest), **scale, "mix": mix})
        before.append(integers)
    return strips


def _quantized(values: Tensor, low: float, high: float, steps: int) -> tuple[np.ndarray, dict[str, float]]:
    step = max(high - low, 1e-12) / steps
    integers = ((values.double() - low) / step).round().clamp(0, steps).cpu().numpy()
    return integers.astype(np.uint8 if steps < 256 else np.uint16), {"low": low, "step": step}


def _mixed(before: Sequence[np.ndarray], values: np.ndarray) -> tuple[list[int] | None, np.ndarray]:
    """Factors, and what they leave of the values; None and the values where that is not much less."""
    columns = np.stack([np.ones(values.size), *(each.ravel().astype(float) for each in before)])
    factors = np.linalg.lstsq(columns @ columns.T, columns @ values.ravel().astype(float), rcond=None)[0]
    mix = np.round(factors * 2**MIX_BITS).astype(np.int64)
    predicted = (mix[0] + sum(f * each for f, each in zip(mix[1:], before, strict=True))) + 2 ** (MIX_BITS - 1)
    left = values - (predicted >> MIX_BITS)
    if left.std() >= values.std() / 3:
        return None, values
    return mix.tolist(), ((left + 128) % 256).astype(np.uint8)


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


def _bytes(residuals: np.ndarray, bits: int) -> bytes:
    """The low bytes of all numbers, then the high ones."""
    planes = [residuals >> shift & 255 for shift in range(0, bits, 8)]
    return b"".join(plane.astype(np.uint8).tobytes() for plane in planes)


def _deflated(raw: bytes, strategy: int) -> bytes:
    compressor = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS, strategy=strategy)
    return compressor.compress(raw) + compressor.flush()
