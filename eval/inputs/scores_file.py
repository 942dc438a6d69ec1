"""Reading the scores of a network from NumPy files, of one image or of many."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

from crfrnn._files import load_arrays

CANVAS_STRIDE = 16  # pixels of the canvas between two cells of the scores: 33 cells span 513 pixels


def read_unary(path: Path, size: tuple[int, int], name: str | None = None) -> Tensor:
    """Logits [1, L, H, W] of a network from a NumPy file, stretched bilinearly to `size` (height, width).

    A file of one image holds an array [L, h, w] or [1, L, h, w]: as .npy, or in an .npz under the name `logits`.

    A file of many images is an .npz with `logits` [n, h, w, L] and the `names` [n] of the images. Two more arrays may be
    in it. `scale_zero`, two numbers: the logits are stored as integers, logit = (integer - zero) * scale. `canvas_wh`
    [n, 2]: the cells of the scores lie 16 pixels apart on a canvas, whose top left part, of this width and height, is
    the image.

    Args:
        size: height and width of the result.
        name: the image, for a file of many.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file does not hold what is described here, or lacks that image.
    """
    loaded = load_arrays(path)
    if isinstance(loaded, np.ndarray):
        return stretched(_scores(loaded, path), size)
    return unary_among(loaded, path, size, name)


def read_arrays(path: Path) -> Mapping[str, np.ndarray]:
    """The arrays of a file of many images, see `read_unary`. Raises FileNotFoundError or ValueError where it is none."""
    loaded = load_arrays(path)
    if isinstance(loaded, np.ndarray):
        raise ValueError(f"{path} holds one array; wanted an .npz with 'names' and 'logits' of many images")
    return loaded


def unary_among(arrays: Mapping[str, np.ndarray], path: Path, size: tuple[int, int], name: str | None = None) -> Tensor:
    """`read_unary` from the arrays of the .npz file `path`, which have been read already."""
    if "logits" not in arrays:
        raise ValueError(f"{path} holds {sorted(arrays)}; wanted an array named 'logits'")
    if "names" not in arrays:
        return stretched(_scores(arrays["logits"], path), size)
    names = arrays["names"].tolist()
    check_arrays(arrays, path)
    if name not in names:
        raise ValueError(f"{path} holds no unary for {name!r}; wanted one of its {len(names)} names, as {names[0]!r}")
    index = names.index(name)
    scores = rearrange(_float32(arrays["logits"][index]), "h w l -> l h w")
    if "scale_zero" in arrays:
        scale, zero = arrays["scale_zero"].tolist()
        scores = (scores - zero) * scale
    unary = _scores(scores, path)
    if "canvas_wh" in arrays:
        width, height = arrays["canvas_wh"][index].tolist()
        canvas = [CANVAS_STRIDE * (cells - 1) + 1 for cells in unary.shape[-2:]]
        unary = stretched(unary, (canvas[0], canvas[1]))[..., :height, :width]
    return stretched(unary, size)


def check_arrays(arrays: Mapping[str, np.ndarray], path: Path) -> None:
    """Raise ValueError where the arrays of a file of many images have other shapes than `read_unary` describes."""
    logits, names = arrays["logits"], arrays["names"]
    if names.ndim != 1 or logits.ndim != 4 or len(logits) != len(names) or logits.dtype.kind not in "fiu":
        raise ValueError(
            f"{path} holds logits {logits.dtype} {list(logits.shape)} for names {list(names.shape)}; "
            "wanted numbers [n, h, w, L] and as many names"
        )
    scale_zero, sizes = arrays.get("scale_zero"), arrays.get("canvas_wh")
    if scale_zero is not None and (scale_zero.shape != (2,) or scale_zero.dtype.kind not in "fiu"):
        raise ValueError(f"{path} holds scale_zero {scale_zero.dtype} {list(scale_zero.shape)}; wanted two numbers")
    if sizes is not None and (sizes.shape != (len(names), 2) or sizes.dtype.kind not in "iu" or (sizes < 1).any()):
        raise ValueError(
            f"{path} holds canvas_wh {sizes.dtype} {list(sizes.shape)}; wanted widths and heights [n, 2] of 1 or more"
        )


def _scores(array: np.ndarray, path: Path) -> Tensor:
    if array.ndim == 4 and array.shape[0] == 1:
        array = array[0]
    if array.ndim != 3 or array.dtype.kind != "f" or array.shape[0] < 2 or not array.size:
        raise ValueError(
            f"{path} holds {array.dtype} {list(array.shape)}; wanted floating-point logits [L, h, w], L >= 2"
        )
    scores = torch.from_numpy(_float32(array))[None]
    if not scores.isfinite().all():
        raise ValueError(f"{path} holds scores that are not finite; wanted logits, -30 or so for an impossible label")
    return scores


def _float32(array: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):  # what becomes infinite is refused
        return array.astype(np.float32)


def stretched(scores: Tensor, size: tuple[int, int]) -> Tensor:
    """Scores [1, L, h, w], stretched to the size of an image (height, width): bilinear, with aligned corners."""
    return F.interpolate(scores, size=size, mode="bilinear", align_corners=True)
