"""pydensecrf.utils: unary energies from labels and probabilities, features from images.

The functions return float32: arrays, or tensors on the same device if they were given tensors.
"""

import math
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from einops import rearrange
from torch import Tensor

from crfrnn._numbers import real_number, whole_number
from crfrnn.densecrf.arrays import as_tensor, check_finite, leading_bandwidths, same_kind


def unary_from_labels(labels: Any, n_labels: int, gt_prob: float, zero_unsure: bool = True) -> np.ndarray | Tensor:
    """Energies [n_labels, N] from a map of labels, N whole numbers in any shape.

    The label of a pixel has probability `gt_prob`; the others share the rest evenly.

    Args:
        n_labels: number of labels, not counting a 0 that means "unsure".
        gt_prob: between 0 and 1, both excluded.
        zero_unsure: 0 is not a label but means that nothing is known, and label k > 0 is row k - 1 of the energies. With
            False, label k is row k. Negative rows count from the last one, with a warning.
    """
    count = whole_number("n_labels", n_labels, 1)
    gt_prob = real_number("gt_prob", gt_prob)
    if not isinstance(zero_unsure, int | np.integer | np.bool_):
        raise TypeError(f"zero_unsure is {zero_unsure!r}; wanted True or False")
    if not 0 < gt_prob < 1:
        raise ValueError(f"gt_prob is {gt_prob}; wanted a probability between 0 and 1, both excluded")
    given = labels if isinstance(labels, Tensor) else np.asarray(labels)
    if given.is_floating_point() if isinstance(given, Tensor) else given.dtype.kind == "f":
        raise TypeError(f"labels are {given.dtype}; wanted whole numbers: labels.astype('int64')")
    ids = as_tensor("labels", labels, torch.int64).flatten()
    rows = _rows(ids, count, bool(zero_unsure))
    others = -math.log((1 - gt_prob) / max(count - 1, 1))
    energy = torch.full((count, len(ids)), others, dtype=torch.float32, device=ids.device)
    energy.scatter_(0, rows[None], -math.log(gt_prob))
    if zero_unsure:
        energy[:, ids == 0] = math.log(count)
    return same_kind(energy, labels)


def _rows(ids: Tensor, count: int, zero_unsure: bool) -> Tensor:
    """The row of each label, 0..count - 1; any row for a 0 that is no label."""
    first = int(zero_unsure)
    lowest, highest = (int(ids.min()), int(ids.max())) if ids.numel() else (0, 0)
    if lowest < first - count or highest >= first + count:
        raise ValueError(
            f"labels reach from {lowest} to {highest}; wanted 0..{first + count - 1} for n_labels={count} and "
            f"zero_unsure={zero_unsure}. Unknown pixels (255) can be set to 0, with zero_unsure=True and labels counted "
            "from 1"
        )
    if lowest < 0:
        warnings.warn(
            f"labels reach down to {lowest}; as in pydensecrf, negative rows count from the last one. If negative labels "
            "mean unknown, set them to 0 and count labels from 1, with zero_unsure=True",
            stacklevel=3,
        )
    return (ids - first) % count


def compute_unary(labels: Any, M: int, GT_PROB: float = 0.5) -> np.ndarray | Tensor:
    """Deprecated name of `unary_from_labels`."""
    _warn_deprecated("compute_unary", "unary_from_labels")
    return unary_from_labels(labels, M, GT_PROB)


def unary_from_softmax(sm: Any, scale: float | None = None, clip: float | None = 1e-5) -> np.ndarray | Tensor:
    """Energies -log p [L, N] from probabilities of any shape [L, ...].

    Args:
        sm: probabilities, labels along the first axis. Values well outside 0..1, such as logits, get a warning.
        scale: how far to trust them, above 0 and at most 1. They become scale sm + (1 - scale) / L, a mixture with the
            uniform distribution.
        clip: the least probability. Lower ones are raised to it, so that energies stay finite, and those above 1 are
            lowered to 1. None leaves them all.
    """
    # Double precision stays until the logarithm is taken.
    double = sm.dtype in (np.float64, torch.float64) if isinstance(sm, np.ndarray | Tensor) else False
    probabilities = as_tensor("sm", sm, torch.float64 if double else torch.float32)
    if probabilities.ndim < 1 or probabilities.numel() == 0:
        raise ValueError(f"sm has shape {list(probabilities.shape)}; wanted [L, ...], labels first and at least one")
    check_finite("sm", probabilities, "wanted probabilities")
    low, high = float(probabilities.min()), float(probabilities.max())
    if low < -0.01 or high > 1.01:
        warnings.warn(
            f"sm reaches from {low:g} to {high:g}; wanted probabilities in 0..1. Logits need a softmax over the "
            "first axis",
            stacklevel=2,
        )
    if scale is not None:
        scale = real_number("scale", scale)
        if not 0 < scale <= 1:
            raise ValueError(f"scale is {scale}; wanted a number above 0 and at most 1, or None")
        probabilities = scale * probabilities + (1 - scale) / len(probabilities)
    if clip is not None:
        clip = real_number("clip", clip)
        if not 0 <= clip < 1:
            raise ValueError(f"clip is {clip}; wanted the least probability, at least 0 and below 1, or None")
        probabilities = probabilities.clamp(clip, 1)
    elif (probabilities < 0).any():
        raise ValueError(
            f"sm reaches down to {low:g}, which has no logarithm; wanted probabilities, or a clip that raises them"
        )
    return same_kind(-rearrange(probabilities, "l ... -> l (...)").log().float(), sm)


def softmax_to_unary(sm: Any, GT_PROB: float = 1) -> np.ndarray | Tensor:
    """Deprecated: `unary_from_softmax` without clipping, its `scale` called GT_PROB."""
    _warn_deprecated("softmax_to_unary", "unary_from_softmax")
    return unary_from_softmax(sm, None if GT_PROB == 1 else GT_PROB, clip=None)


def create_pairwise_gaussian(sdims: Any, shape: int | Sequence[int]) -> np.ndarray:
    """Features [D, N] of the points of a grid of D axes, for `addPairwiseEnergy`.

    Args:
        sdims: bandwidths in pixels, one number or one for each axis, in the order of the axes of `shape`: (y, x), where
            `addPairwiseGaussian` has (x, y). Axes without a number stay undivided, with a warning.
        shape: of the grid, for example (height, width).
    """
    sizes = [whole_number("shape", size, 1) for size in np.atleast_1d(shape)]
    if not sizes:
        raise ValueError("shape is empty; wanted the sizes of one axis or more, for example (height, width)")
    thetas = torch.tensor(leading_bandwidths("sdims", sdims, len(sizes)), dtype=torch.float32, device="cpu")
    return (_coordinates(sizes, thetas.device) / thetas[:, None]).numpy()


def create_pairwise_bilateral(sdims: Any, schan: Any, img: Any, chdim: int = -1) -> np.ndarray | Tensor:
    """Features [D + C, N] of the pixels of an image of D axes and C channels, for `addPairwiseEnergy`.

    Args:
        sdims: bandwidths in pixels, one number or one for each axis: (y, x) for a picture.
        schan: bandwidths of the channels in the units of `img`, one number or one for each. Axes and channels
            without a number stay undivided, with a warning.
        img: image of any number of axes and any numeric type.
        chdim: the axis that holds the channels. -1 means that there is none; it does not mean the last axis.
    """
    channels = _channels_first(img, chdim)
    sizes = channels.shape[1:]
    hint = ". If the last axis holds channels, say so: chdim=2 for an image [h, w, channels]" if chdim == -1 else ""
    thetas = [*leading_bandwidths("sdims", sdims, len(sizes), hint), *leading_bandwidths("schan", schan, len(channels))]
    colors = rearrange(channels, "c ... -> c (...)")
    features = torch.cat([_coordinates(sizes, channels.device), colors])
    return same_kind(features / features.new_tensor(thetas)[:, None], img)


def _channels_first(img: Any, chdim: int) -> Tensor:
    """An image as [C, ...]. Its channels lie along axis `chdim`; -1 means that there is no such axis."""
    image = as_tensor("img", img)
    axis = whole_number("chdim", chdim, -max(image.ndim, 1))
    if axis >= image.ndim:
        raise ValueError(
            f"chdim is {axis} for img of shape {list(image.shape)}; wanted one of its axes, or -1 for none"
        )
    if image.numel() == 0 or image.ndim < (1 if axis == -1 else 2):
        raise ValueError(
            f"img has shape {list(image.shape)}; wanted one axis or more beside channels, none of them empty"
        )
    check_finite("img", image, "wanted a number at every pixel")
    return image[None] if axis == -1 else image.movedim(axis, 0)


def _coordinates(sizes: Sequence[int], device: torch.device) -> Tensor:
    """Coordinates [D, N] of the points of a grid, last axis fastest."""
    axes = torch.meshgrid(*(torch.arange(size, dtype=torch.float32, device=device) for size in sizes), indexing="ij")
    return torch.stack([axis.flatten() for axis in axes])


def _warn_deprecated(old: str, new: str) -> None:
    warnings.warn(f"{old} is deprecated; use {new}", DeprecationWarning, stacklevel=3)
