"""Label maps as palette PNG files, the way PASCAL VOC stores them: pixel value = label, colors only for the eye."""

from os import PathLike
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from crfrnn._files import replacing
from crfrnn.data.images import load


def voc_palette() -> Tensor:
    """The colors of the labels 0..255, uint8 [256, 3] RGB.

    The bits of a label, taken three at a time from the low end, go to red, green and blue: the first three to the highest
    bit of each channel, the next three to the second highest, and so on.
    """
    labels = torch.arange(256)
    colors = torch.zeros(256, 3, dtype=torch.int64)
    for step in range(3):  # 8 bits are used up after three steps
        for channel in range(3):
            bit = (labels >> (3 * step + channel)) & 1
            colors[:, channel] |= bit << (7 - step)
    return colors.to(torch.uint8)


def colorize(labels: Tensor) -> Tensor:
    """Paint a label map in the VOC colors: integers 0..255 [..., H, W] -> uint8 [..., 3, H, W].

    Raises:
        TypeError: `labels` is not an integer tensor.
        ValueError: a label lies outside 0..255.
    """
    whole = _checked(labels).long()
    return voc_palette().to(whole.device)[whole].movedim(-1, -3).contiguous()


def read_labels(path: str | PathLike[str]) -> Tensor:
    """Read a mask as label indices, uint8 [H, W]; 255 is void.

    Palette files give their indices, never their colors; grayscale files, which some releases of the SBD masks use,
    give their gray levels.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged, or holds colors instead of labels.
    """
    mask = load(path)
    if mask.mode not in ("P", "L"):
        raise ValueError(
            f"{path} holds {mask.mode} pixels; wanted one 8-bit label a pixel (a palette or grayscale PNG). "
            "Map its colors back to labels and store them with crfrnn.data.write_labels"
        )
    return torch.from_numpy(np.array(mask))


def write_labels(path: str | PathLike[str], labels: Tensor) -> None:
    """Write labels (integers 0..255, [H, W]) as a palette PNG in the VOC colors.

    The file appears under its name only when complete, and replaces an older one of that name.

    Raises:
        TypeError: `labels` is not an integer tensor.
        ValueError: `labels` is not a non-empty [H, W] map, or a label lies outside 0..255.
    """
    path = Path(path)
    if labels.ndim != 2 or labels.numel() == 0:
        raise ValueError(f"{path}: got labels of shape {list(labels.shape)}; wanted [H, W]: write one map at a time")
    indices = _checked(labels).to("cpu", torch.uint8).contiguous().numpy()
    picture = Image.fromarray(indices)
    picture.putpalette(voc_palette().numpy().tobytes())
    with replacing(path) as partial:
        picture.save(partial, format="PNG")


def _checked(labels: Tensor) -> Tensor:
    if not isinstance(labels, Tensor):
        raise TypeError(f"labels is a {type(labels).__name__}; wanted a tensor: torch.as_tensor(labels)")
    if labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool:
        raise TypeError(f"got labels of type {labels.dtype}; wanted integers: take the argmax of scores first")
    if labels.numel() and not 0 <= int(labels.min()) <= int(labels.max()) <= 255:
        raise ValueError(f"got labels {int(labels.min())}..{int(labels.max())}; wanted 0..255, 255 for void")
    return labels
