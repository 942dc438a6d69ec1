"""What the benchmarks compute on: a photograph or a drawn scene, and the unaries of a network or synthetic ones."""

import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from numpy.lib.npyio import NpzFile
from torch import Tensor

from crfrnn.data import read_image
from crfrnn.data.scenes import draw_scene

COMMON_SIZE = (319, 500)  # height and width of the common task where no photograph is given
CANVAS_STRIDE = 16  # pixels of the canvas between two cells of the scores: 33 cells span 513 pixels


def guide_image(path: Path | None, size: tuple[int, int] = COMMON_SIZE) -> Tensor:
    """The photograph in a file at its own size, or a drawn scene of `size`: float32 [1, 3, H, W], 0..255.

    Raises as `read_image`.
    """
    if path is not None:
        return read_image(path)[None].float()
    scene, _ = draw_scene(np.random.default_rng(0), size, first_label=1)
    return torch.from_numpy(rearrange(scene, "h w c -> 1 c h w").astype(np.float32))


def resized(image: Tensor, size: tuple[int, int]) -> Tensor:
    """An image [1, 3, H, W] at another size (height, width), bicubic and antialiased, in whole gray levels."""
    if image.shape[-2:] == size:
        return image
    return F.interpolate(image, size=size, mode="bicubic", antialias=True).round_().clamp_(0, 255)


def synthetic_unary(labels: int, size: tuple[int, int]) -> Tensor:
    """Logits [1, L, H, W] that vary smoothly over the image, as a network's do: noise on a coarse grid, interpolated."""
    generator = torch.Generator().manual_seed(0)
    coarse = 3 * torch.randn(1, labels, size[0] // 16 + 2, size[1] // 16 + 2, generator=generator)
    return _stretched(coarse, size)


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
        return _stretched(_scores(loaded, path), size)
    return unary_among(loaded, path, size, name)


def load_arrays(path: Path) -> np.ndarray | dict[str, np.ndarray]:
    """The array in an .npy file, or those in an .npz file by name.

    Raises FileNotFoundError where there is no such file, ValueError where it is neither, or damaged.
    """
    try:
        loaded = np.load(path, allow_pickle=False)
        if not isinstance(loaded, NpzFile):
            return loaded
        with loaded:
            return dict(loaded)
    except (ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(
            f"{path} cannot be read ({error}); wanted a whole .npy or .npz file of plain arrays"
        ) from error


def unary_among(arrays: Mapping[str, np.ndarray], path: Path, size: tuple[int, int], name: str | None = None) -> Tensor:
    """`read_unary` where the arrays of the .npz file `path` have been read already."""
    if "logits" not in arrays:
        raise ValueError(f"{path} holds {sorted(arrays)}; wanted an array named 'logits'")
    if "names" not in arrays:
        return _stretched(_scores(arrays["logits"], path), size)
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
        unary = _stretched(unary, (canvas[0], canvas[1]))[..., :height, :width]
    return _stretched(unary, size)


def _scores(array: np.ndarray, path: Path) -> Tensor:
    if array.ndim == 4 and array.shape[0] == 1:
        array = array[0]
    if array.ndim != 3 or array.dtype.kind != "f" or array.shape[0] < 2:
        raise ValueError(
            f"{path} holds {array.dtype} {list(array.shape)}; wanted floating-point logits [L, h, w], L >= 2"
        )
    return torch.from_numpy(array.astype(np.float32))[None]


def _stretched(scores: Tensor, size: tuple[int, int]) -> Tensor:
    return F.interpolate(scores, size=size, mode="bilinear", align_corners=True)
