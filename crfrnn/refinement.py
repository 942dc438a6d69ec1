"""One call that sharpens the masks of any network: arrays, images of Pillow or tensors in, the same out."""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from crfrnn._numbers import usable_device
from crfrnn.kernels import IMAGE
from crfrnn.masks import Probabilities, read_photo, read_probabilities, read_volume
from crfrnn.meanfield import CRFRNN
from crfrnn.presets import MASKS, PUBLISHED, FixedCRF

UNCERTAIN = 0.01
"""the least that the other labels of a pixel share, so that masks of 0 and 1 can change, too"""
IMAGES_AT_ONCE = 16


def refine(
    image: Any,
    probabilities: Any,
    crf: FixedCRF | CRFRNN | str = MASKS,
    device: str | torch.device | None = None,
    spacing: Sequence[float] | None = None,
) -> Any:
    """Probabilities, or a mask, with borders that follow the image.

    Example:
        >>> mask = crfrnn.refine(photo, mask)                      # [H, W], how likely each pixel is the object
        >>> probabilities = crfrnn.refine(photo, probabilities)    # [L, H, W] or [H, W, L], sums of 1
        >>> masks = crfrnn.refine(photos, masks)                   # lists of them, of any sizes
        >>> mask = crfrnn.refine(scan, mask, spacing=(3, 1, 1))    # [D, H, W], voxels of 3 x 1 x 1 mm

    Args:
        image: RGB or gray; an array or tensor [H, W, C], [C, H, W] or [H, W], uint8 in 0..255 or floating point in 0..1 or
            0..255, or an image of Pillow. Or a list of these, or an array or tensor of four axes.
        probabilities: of one class, [H, W], [1, H, W] or [H, W, 1], or of L labels, [L, H, W] or [H, W, L]: floating point
            in 0..1, uint8 in 0..255, or bool. As many as there are images.
        crf: the numbers of the CRF, or the name of a set in `crfrnn.presets.PUBLISHED`. The default suits masks that a
            network computed at every 4th to 16th pixel. Or a layer, with a solver and kernels of its own: over L labels, or
            over 2 for probabilities of one class.
        device: where to compute; by default where the probabilities are.
        spacing: says that the image is a volume, by three numbers: the distance of voxels along each axis, in whose unit the
            thetas of positions then are. The image is an array or tensor [D, H, W] or [C, D, H, W], the probabilities are
            [D, H, W], [L, D, H, W] or [D, H, W, L]. One number stands for a signal, two for a photograph.

    Returns what `probabilities` is: the same type, layout and kind of numbers, without gradients.

    Raises TypeError or ValueError where the two do not fit, or numbers are no probabilities.
    """
    chosen, device = _chosen(crf), usable_device(device)
    axes = 2 if spacing is None else _axes(spacing)
    if not _are_many(image, probabilities, axes):
        photo, given = _pair(image, probabilities, "", axes)
        return given.like(_refined([(photo, given)], chosen, device, spacing)[0])
    pairs = [
        _pair(photo, given, f" {number}", axes)
        for number, (photo, given) in enumerate(zip(image, probabilities, strict=True))
    ]
    if not pairs:
        return copy.copy(probabilities)
    found = _refined(pairs, chosen, device, spacing)
    refined = [given.like(values) for (_, given), values in zip(pairs, found, strict=True)]
    if isinstance(probabilities, Tensor):
        return torch.stack(refined)
    return np.stack(refined) if isinstance(probabilities, np.ndarray) else type(probabilities)(refined)


def _chosen(crf: FixedCRF | CRFRNN | str) -> FixedCRF | CRFRNN:
    if isinstance(crf, str):
        if crf not in PUBLISHED:
            raise ValueError(f"crf is {crf!r}; wanted one of {', '.join(map(repr, PUBLISHED))}, a FixedCRF or a CRFRNN")
        return PUBLISHED[crf]
    if not isinstance(crf, FixedCRF | CRFRNN):
        raise TypeError(
            f"crf is a {type(crf).__name__}; wanted a crfrnn.presets.FixedCRF, the name of a published one, or a CRFRNN"
        )
    if isinstance(crf, CRFRNN):
        for guide in {kernel.guide for kernel in crf.kernels} - {None, IMAGE}:
            raise ValueError(
                f"a kernel of the crf looks at {guide!r}, and refine has the image alone; wanted kernels of positions and "
                "image, or a call of the layer: crf(logits, image, features={...})"
            )
    return crf


def _layer(crf: FixedCRF | CRFRNN, labels: int, device: torch.device) -> CRFRNN:
    """The layer over so many labels, on a device. Raises ValueError where a given one has another number of them."""
    if isinstance(crf, FixedCRF):
        return crf.build(labels).to(device)
    if crf.num_labels != labels:
        one = "; those of one class make 2: the rest and the object" if labels == 2 else ""
        raise ValueError(f"crf has num_labels={crf.num_labels}, and the probabilities are over {labels} labels{one}")
    return copy.deepcopy(crf).to(device)


def _axes(spacing: Sequence[float]) -> int:
    """How many axes an image with this spacing has. Raises TypeError or ValueError where it is none."""
    axes = len(spacing) if isinstance(spacing, list | tuple) else 0
    if not axes or axes > 3:
        raise ValueError(
            f"spacing is {spacing!r}; wanted a tuple of one to three numbers, one for each axis of the image"
        )
    return axes


def _are_many(image: Any, probabilities: Any, axes: int) -> bool:
    """Whether these are lists or batches. Raises ValueError where one is and the other is not, or their lengths differ."""
    many = [
        isinstance(value, list | tuple) or getattr(value, "ndim", 0) == axes + 2 for value in (image, probabilities)
    ]
    if many[0] != many[1]:
        one, other = ("images are", "probabilities are") if many[0] else ("probabilities are", "image is")
        raise ValueError(
            f"the {one} several but the {other} not; wanted a list of each, of the same length, or one of each; a batch of "
            "masks is [B, 1, H, W]"
        )
    if many[0] and len(image) != len(probabilities):
        raise ValueError(f"got {len(image)} images for {len(probabilities)} probabilities; wanted as many")
    return many[0]


def _pair(image: Any, probabilities: Any, which: str, axes: int) -> tuple[Tensor, Probabilities]:
    name = f"image{which}"
    photo = read_photo(name, image) if axes == 2 else read_volume(name, image, axes)
    return photo, read_probabilities(f"probabilities{which}", probabilities, tuple(photo.shape[1:]))


def _refined(
    pairs: Sequence[tuple[Tensor, Probabilities]],
    crf: FixedCRF | CRFRNN,
    device: torch.device | None,
    spacing: Sequence[float] | None,
) -> list[Tensor]:
    """Probabilities [L, *space] of every pair; those of one shape go through the CRF together."""
    groups: dict[tuple, list[int]] = defaultdict(list)
    for number, (photo, given) in enumerate(pairs):
        groups[(given.values.shape, len(photo), given.values.device)].append(number)
    found: dict[int, Tensor] = {}
    for members in groups.values():
        for first in range(0, len(members), IMAGES_AT_ONCE):
            chosen = members[first : first + IMAGES_AT_ONCE]
            values = torch.stack([pairs[number][1].values for number in chosen])
            photos = torch.stack([pairs[number][0].to(values.device) for number in chosen])
            found |= zip(chosen, _beliefs(photos, values, crf, device, spacing), strict=True)
    return [found[number] for number in range(len(pairs))]


@torch.no_grad()
def _beliefs(
    photos: Tensor,
    values: Tensor,
    crf: FixedCRF | CRFRNN,
    device: torch.device | None,
    spacing: Sequence[float] | None,
) -> Tensor:
    home = values.device
    photos, values = photos.to(device or home), values.to(device or home)
    logits = values.clamp(min=UNCERTAIN / (values.shape[1] - 1)).log()
    layer = _layer(crf, values.shape[1], values.device)
    return layer(logits, photos, spacing=spacing).softmax(1).to(home)
