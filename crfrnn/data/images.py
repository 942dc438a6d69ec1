"""Decoding image files, with errors that name the file."""

from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike
from pathlib import Path

import torch
from einops import rearrange
from PIL import Image
from torch import Tensor

from crfrnn.masks import pillow_levels


def load(path: str | PathLike[str]) -> Image.Image:
    """Open and fully decode one image file.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is not an image, is truncated or damaged, or holds gray levels of 12 bits or the like.
    """
    with _opened(Path(path)) as image:
        image.load()
    _check_gray_tiff(image, path)
    # Pillow reads 16-bit gray levels of these formats as 32-bit numbers, of PNG in older releases.
    return image.convert("I;16") if image.mode == "I" and image.format in ("PNG", "PPM") else image


def _check_gray_tiff(image: Image.Image, path: str | PathLike[str]) -> None:
    """Raise ValueError for a TIFF of more than 8 bits whose levels are not 0 (black) to 65535 (white)."""
    if image.format != "TIFF" or not image.mode.startswith("I;16"):
        return
    bits, photometric = image.getexif().get(258), image.getexif().get(262)
    if bits != 16 or photometric != 1:
        raise ValueError(
            f"{path} holds gray levels of {bits} bits{', 0 for white' if photometric == 0 else ''}; wanted 8 or 16 "
            "bits and 0 for black: convert this file first"
        )


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
    except Exception as error:  # Pillow lets out whatever its readers trip over, from struct.error to MemoryError
        raise ValueError(
            f"{path} cannot be decoded ({error}); wanted a complete image file, so fetch or write this file again"
        ) from error


def read_image(path: str | PathLike[str]) -> Tensor:
    """Read an image as RGB, uint8 [3, H, W]; raises as `load` and `rgb` do.

    Rows and columns are those stored in the file: an EXIF rotation is not applied, since masks are not rotated either.
    """
    return rgb(load(path), path)


def rgb(image: Image.Image, path: str | PathLike[str]) -> Tensor:
    """A decoded image of any mode as RGB, uint8 [3, H, W]; `path` is for messages. Raises as `pillow_levels` does."""
    return torch.from_numpy(rearrange(pillow_levels(path, image), "h w c -> c h w").copy())
