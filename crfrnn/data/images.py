"""Decoding image files, with errors that name the file."""

from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike
from pathlib import Path

import numpy as np
import torch
from einops import rearrange
from PIL import Image
from torch import Tensor


def load(path: str | PathLike[str]) -> Image.Image:
    """Open and fully decode one image file.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is not an image, or is truncated or damaged.
    """
    with _opened(Path(path)) as image:
        image.load()
        return image


def stored_size(path: str | PathLike[str]) -> tuple[int, int]:
    """Height and width of an image file, without decoding it; raises as `load` does."""
    with _opened(Path(path)) as image:
        return image.height, image.width


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    if not path.is_file():
        raise FileNotFoundError(f"there is no image file {path}")
    try:
        with Image.open(path) as image:
            yield image
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:  # Pillow's words for damage
        raise ValueError(
            f"{path} cannot be decoded ({error}); wanted a complete image file, so fetch or write this file again"
        ) from error


def read_image(path: str | PathLike[str]) -> Tensor:
    """Read an image as RGB, uint8 [3, H, W]; raises as `load` does.

    Rows and columns are those stored in the file: an EXIF rotation is not applied, since masks are not rotated either.
    """
    pixels = np.asarray(load(path).convert("RGB"))
    return torch.from_numpy(rearrange(pixels, "h w c -> c h w").copy())
