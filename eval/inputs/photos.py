"""Photographs given as files, folders and wildcards, and reading one of them."""

import glob
import struct
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from crfrnn.data.images import load


def find_photos(given: Iterable[Path]) -> dict[Path, Path]:
    """The image files that `given` mean, each with the relative path, without suffix, that results of it are to have.

    A file is itself, under its own name, whether it exists or not. A folder is all images in it and in folders below, under
    their paths from there; a wildcard (`*`, `?`, `[`, and `**` for folders at any depth) whatever of these it matches.

    Raises ValueError where nothing is given, or a folder or wildcard has no image.
    """
    found: dict[Path, Path] = {}
    for path in given:
        for match in _matches(path):
            if match.is_dir():
                images = [(file, file.relative_to(match)) for file in sorted(match.rglob("*")) if _is_image(file)]
                if not images:
                    raise ValueError(f"{match} holds no image that can be read; wanted photographs in it or below")
                found |= {file: name.with_suffix("") for file, name in images}
            else:
                found[match] = Path(match.stem)
    if not found:
        raise ValueError("no image was given; wanted the path of one or more, folders or wildcards")
    return found


def _matches(path: Path) -> list[Path]:
    if path.exists() or not glob.has_magic(str(path)):
        return [path]
    matches = [Path(match) for match in sorted(glob.glob(str(path), recursive=True))]
    if not matches:
        raise ValueError(f"nothing matches {path}; wanted a wildcard with one image or more")
    return [match for match in matches if match.is_dir() or _is_image(match)] or matches


def _is_image(path: Path) -> bool:
    kind = Image.registered_extensions().get(path.suffix.lower())
    return kind in Image.OPEN and path.is_file()


def read_photo(path: Path) -> Tensor:
    """An image file of any mode as it is meant to be seen: RGB, upright, uint8 [3, H, W].

    Raises as `load`, and ValueError for EXIF data that do not say which way is up.
    """
    photo = load(path)
    try:
        photo = ImageOps.exif_transpose(photo)
    except (SyntaxError, struct.error, OSError, ValueError, TypeError, KeyError) as error:  # Pillow's words for damage
        raise ValueError(
            f"{path} has damaged EXIF data ({error}), so that its orientation is not known; wanted a photograph with "
            "whole EXIF data, or without any"
        ) from error
    if photo.mode.startswith("I;16"):  # Pillow would clip all but the darkest 256 of the gray levels to white
        photo = Image.fromarray((np.asarray(photo) >> 8).astype(np.uint8))
    return torch.from_numpy(np.array(photo.convert("RGB"))).permute(2, 0, 1).contiguous()
