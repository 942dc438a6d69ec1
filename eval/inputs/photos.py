"""Photographs given as files, folders and wildcards: finding them, naming their results, and reading one of them."""

import glob
import struct
from collections.abc import Iterable, Mapping
from pathlib import Path

from PIL import Image, ImageOps
from torch import Tensor

from crfrnn.data.images import load, rgb

LABELS, OVERLAY, PROBABILITIES = "_labels.png", "_overlay", "_probabilities.npz"
"""ends of the names of results; an overlay has the ending of its format, too"""


def find_photos(given: Iterable[Path]) -> dict[Path, Path]:
    """The image files that `given` stands for, each with the relative path, without suffix, of its results.

    A file stands for itself, whether it exists or not, and its results have its name. A folder stands for all images in it
    and in its subfolders; their results have their paths from there. A wildcard (`*`, `?`, `[`, and `**` for folders at any
    depth) stands for the files and folders that it matches.

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


def named(stem: Path, end: str) -> Path:
    """The file of a result: `stem` may have dots of its own."""
    return stem.with_name(stem.name + end)


def plan_outputs(photos: Mapping[Path, Path], out: Path) -> dict[Path, Path]:
    """For every image, what its results are called, without the ends of their names.

    Args:
        photos: see `find_photos`.

    Raises ValueError where two would be written to the same files, or one over an image.
    """
    stems = {path: out / name for path, name in photos.items()}
    origin: dict[Path, Path] = {}
    for path, stem in stems.items():
        if origin.setdefault(stem, path) != path:
            raise ValueError(
                f"{origin[stem]} and {path} would both be written to {named(stem, LABELS)}; run them apart"
            )
        for file in (named(stem, LABELS), named(stem, f"{OVERLAY}.png")):
            if file.exists() and any(image.exists() and file.samefile(image) for image in photos):
                raise ValueError(f"{file} is to be written for {path}, but is an input itself; pass another --out")
    return stems


def read_photo(path: Path) -> Tensor:
    """An image file of any mode as it is meant to be seen: RGB, upright, uint8 [3, H, W].

    Raises as `load` and `rgb`, and ValueError for EXIF data that do not say which way is up.
    """
    photo = load(path)
    try:
        photo = ImageOps.exif_transpose(photo)
    except (SyntaxError, struct.error, OSError, ValueError, TypeError, KeyError) as error:  # Pillow's words for damage
        raise ValueError(
            f"{path} has damaged EXIF data ({error}), so that its orientation is not known; wanted a photograph with "
            "whole EXIF data, or without any"
        ) from error
    return rgb(photo, path)
