"""The scores of a network in NumPy files: one image a file, or many in one."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from numpy.lib.npyio import NpzFile
from torch import Tensor

CANVAS_STRIDE = 16  # pixels of the canvas between two cells of the scores: 33 cells span 513 pixels


def read_unary(path: Path, size: tuple[int, int], name: str | None = None) -> Tensor:
    """Logits [1, L, H, W] of a network from a NumPy file, stretched bilinearly to `size` (height, width).

    An .npy file holds [L, h, w] or [1, L, h, w]. An .npz file holds such an array as `logits`; or the scores of many
    images as `logits` [n, h, w, L] with their `names` [n]. There, `scale_zero` (scale, zero) makes integers of them:
    logit = (integer - zero) * scale; and `canvas_wh` [n, 2] says that the cells span a canvas, 16 pixels from one cell
    to the next, with the image in its top left part of that width and height.

    Args:
        path: the file.
        size: height and width of the result.
        name: the image to look for among `names`.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file does not hold what is described here, or not that name.
    """
    loaded = load_arrays(path)
    if isinstance(loaded, np.ndarray):
        return stretched(_scores(loaded, path), size)
    return unary_among(loaded, path, size, name)


def load_arrays(path: Path) -> np.ndarray | dict[str, np.ndarray]:
    """The array in an .npy file, or those in an .npz file by name.

    Raises FileNotFoundError where there is no such file, ValueError where it is neither, or damaged.
    """
    if not path.is_file():
        raise FileNotFoundError(f"there is no file of scores {path}; wanted an .npy or .npz file")
    try:
        loaded = np.load(path, allow_pickle=False)
        if not isinstance(loaded, NpzFile):
            return loaded
        with loaded:
            return dict(loaded)
    except OSError:
        raise
    except Exception as error:  # NumPy lets out whatever its readers trip over, from zlib.error to MemoryError
        reason = "it is none, or holds objects" if "pickle" in str(error) else (str(error) or type(error).__name__)
        raise ValueError(f"{path} cannot be read ({reason}); wanted a complete .npy or .npz file of numbers") from error


def read_arrays(path: Path) -> Mapping[str, np.ndarray]:
    """The arrays of an .npz file with the scores of many images. Raises ValueError where it is none."""
    loaded = load_arrays(path)
    if isinstance(loaded, np.ndarray):
        raise ValueError(f"{path} holds one array; wanted an .npz with 'names' and 'logits', or a folder of such files")
    return loaded


def unary_among(arrays: Mapping[str, np.ndarray], path: Path, size: tuple[int, int], name: str | None = None) -> Tensor:
    """`read_unary` where the arrays of the .npz file `path` have been read already."""
    if "logits" not in arrays:
        raise ValueError(f"{path} holds {sorted(arrays)}; wanted an array named 'logits'")
    if "names" not in arrays:
        return stretched(_scores(arrays["logits"], path), size)
    names = arrays["names"].tolist()
    if name not in names:
        raise ValueError(f"{path} holds no unary for {name!r}; wanted one of its {len(names)} names, as {names[0]!r}")
    index = names.index(name)
    scores = rearrange(arrays["logits"][index].astype(np.float32), "h w l -> l h w")
    if "scale_zero" in arrays:
        scale, zero = arrays["scale_zero"].tolist()
        scores = (scores - zero) * scale
    unary = _scores(scores, path)
    if "canvas_wh" in arrays:
        width, height = arrays["canvas_wh"][index].tolist()
        canvas = [CANVAS_STRIDE * (cells - 1) + 1 for cells in unary.shape[-2:]]
        unary = stretched(unary, (canvas[0], canvas[1]))[..., :height, :width]
    return stretched(unary, size)


def _scores(array: np.ndarray, path: Path) -> Tensor:
    if array.ndim == 4 and array.shape[0] == 1:
        array = array[0]
    if array.ndim != 3 or array.dtype.kind != "f" or array.shape[0] < 2:
        raise ValueError(
            f"{path} holds {array.dtype} {list(array.shape)}; wanted floating-point logits [L, h, w], L >= 2"
        )
    return torch.from_numpy(array.astype(np.float32))[None]


def stretched(scores: Tensor, size: tuple[int, int]) -> Tensor:
    """Scores [1, L, h, w] at the size of an image (height, width), bilinearly with aligned corners."""
    return F.interpolate(scores, size=size, mode="bilinear", align_corners=True)
