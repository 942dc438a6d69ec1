"""AeroplaneOID (Vedaldi et al. 2014): photographs of aeroplanes, outlined with four kinds of parts.

Below the root, or in a folder "data" there:

    anno.mat                 here or in annotations/: all outlines
    images/aeroplane/*.jpg   or images/*.jpg

anno has `image` (id, name and set, numbers into meta.image.set), and, for aeroplanes and each kind of part, id, polygon
(2 x K: x, y, the first pixel being 1, 1) and parentId: of an aeroplane its image, of a part its aeroplane.
"""

import warnings
from collections import defaultdict
from os import PathLike
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from torch import Tensor

from crfrnn.data.images import read_image
from crfrnn.data.listing import check_files
from crfrnn.data.matfile import Struct, read_struct
from crfrnn.data.parts.annotation import AnnotatedObject, Annotation, Corners, Listed, Mask, Part
from crfrnn.data.parts.files import ALL, find_folder, read_names

OID_PARTS = {"aeroplane": {"verticalStabilizer": 2, "nose": 3, "wing": 4, "wheel": 5}}
"""Indices of the parts; the aeroplane itself has 1."""

Polygon = NDArray[np.float64]
Aeroplane = tuple[Polygon, list[tuple[str, Polygon]]]  # itself, and its parts by their kinds

_ORIGIN = "AeroplaneOID is at https://www.robots.ox.ac.uk/~vgg/data/oid/; there is no command that fetches it"
_FARTHEST = 1_000_000  # Pillow draws something else far beyond that
_ANNOTATIONS = ("annotations", ".", "data/annotations", "data")
_IMAGES = ("images/aeroplane", "images", "data/images/aeroplane", "data/images")


class AeroplaneOID:
    """The listed images of AeroplaneOID.

    Args:
        root: see above.
        split: a name in meta.image.set (train, val, test), a list `<split>.txt` in the root, the path of a list of file
            names, or "all".

    Attributes: as in `PascalPart`; names are those of the files without their suffix.

    Raises FileNotFoundError where the annotation, the list or a listed file is missing, ValueError where the annotation is
    damaged.
    """

    vocabulary = OID_PARTS
    object_first = True

    def __init__(self, root: str | PathLike[str], split: str | PathLike[str]) -> None:
        self.root = Path(root)
        path = find_folder(self.root, _ANNOTATIONS, "anno.mat", "annotation", _ORIGIN) / "anno.mat"
        folder = find_folder(self.root, _IMAGES, "*.jpg", "photographs", _ORIGIN)
        anno = read_struct(path, "anno", "parts")
        ids = _image_ids(anno)
        self._aeroplanes = _aeroplanes(anno, set(ids.values()))
        sets = _sets(anno, ids)
        if split == ALL:
            listed = [name for name in ids if ids[name] in self._aeroplanes]
        else:
            listed = sets[str(split)] if split in sets else [Path(name).stem for name in read_names([self.root], split)]
        self.names = listed
        unknown = [name for name in listed if name not in ids]
        if unknown:
            raise ValueError(f"the list {split!s} has {unknown[0]!r}, which is no image of {path}")
        self._ids = ids
        self._files = {name: folder / f"{name}.jpg" for name in listed}
        check_files(self._files.values(), split)

    def image(self, name: str) -> Tensor:
        """uint8 RGB [3, H, W]; raises as `read_image`."""
        return read_image(self._files[name])

    def annotation(self, name: str, size: tuple[int, int]) -> Annotation:
        """The outlines in an image of `size` (H, W) as masks; what lies outside of the image is cut off."""
        objects = []
        for aeroplane, outlines in self._aeroplanes.get(self._ids[name], []):
            parts = tuple(Part(kind, filled(polygon, size)) for kind, polygon in outlines)
            objects.append(AnnotatedObject("aeroplane", filled(aeroplane, size), parts))
        return Annotation(tuple(objects), size)

    def objects(self, name: str) -> list[Listed]:
        """The aeroplanes of an image."""
        aeroplanes = self._aeroplanes.get(self._ids[name], [])
        return [Listed("aeroplane", _box(polygon), bool(outlines)) for polygon, outlines in aeroplanes]


def filled(polygon: Polygon, size: tuple[int, int]) -> Mask:
    """A polygon [2, K] (x, y; pixels counted from 1) as a mask [H, W]: what it encloses, its outline included."""
    canvas = Image.new("1", (size[1], size[0]))
    ImageDraw.Draw(canvas).polygon([(x, y) for x, y in (polygon - 1).T.tolist()], fill=1, outline=1)
    return np.asarray(canvas)


def oid_level(object_class: str, part: str) -> int:
    """The level of a part, which is its index: wheels are on top."""
    return OID_PARTS[object_class][part]


def is_oid(root: Path) -> bool:
    """Whether a folder holds the annotation of AeroplaneOID."""
    return any((root / name / "anno.mat").is_file() for name in _ANNOTATIONS)


def _image_ids(anno: Struct) -> dict[str, int]:
    """id of every image by its name."""
    image = anno.struct("image")
    names = [Path(name).stem for name in image.texts("name")]
    numbers = image.numbers("id")
    if len(names) != len(numbers):
        raise ValueError(
            f"{image.where} has {len(names)} names and {len(numbers)} ids; wanted one of each for an image"
        )
    return dict(zip(names, numbers.tolist(), strict=True))


def _sets(anno: Struct, ids: dict[str, int]) -> dict[str, list[str]]:
    """The names of the images of every set."""
    titles = anno.struct("meta").struct("image").texts("set")
    numbers = anno.struct("image").numbers("set")
    if len(numbers) != len(ids) or not np.isin(numbers, np.arange(1, len(titles) + 1)).all():
        raise ValueError(
            f"{anno.where}.image.set does not say for each of {len(ids)} images which of {titles} it is in"
        )
    found: dict[str, list[str]] = {title: [] for title in titles}
    for name, number in zip(ids, numbers, strict=True):
        found[titles[number - 1]].append(name)
    return found


def _aeroplanes(anno: Struct, images: set[int]) -> dict[int, list[Aeroplane]]:
    """The aeroplanes of every image, by its id, with their parts; those of no aeroplane are left out, with a warning."""
    parts: dict[int, list[tuple[str, Polygon]]] = defaultdict(list)
    for kind in OID_PARTS["aeroplane"]:
        for parent, _, polygon in _outlines(anno, kind):
            parts[parent].append((kind, polygon))
    found: dict[int, list[Aeroplane]] = defaultdict(list)
    for parent, number, polygon in _outlines(anno, "aeroplane"):
        if parent not in images:
            raise ValueError(f"{anno.where}: aeroplane {number} is in image {parent}, which is not listed")
        found[parent].append((polygon, parts.pop(number, [])))
    if parts:
        number = next(iter(parts))
        warnings.warn(
            f"{anno.where}: parts left out, because their aeroplanes are not listed: {sum(map(len, parts.values()))}, such "
            f"as the {parts[number][0][0]} of aeroplane {number}",
            stacklevel=3,
        )
    return found


def _outlines(anno: Struct, kind: str) -> list[tuple[int, int, Polygon]]:
    """(parent, id, polygon) of everything of one kind."""
    struct = anno.struct(kind)
    parents, numbers = struct.numbers("parentId").tolist(), struct.numbers("id").tolist()
    polygons = struct.cells("polygon")
    if not len(parents) == len(numbers) == len(polygons):
        raise ValueError(
            f"{struct.where} has {len(numbers)} ids, {len(parents)} parents and {len(polygons)} polygons; wanted one each"
        )
    for number, polygon in zip(numbers, polygons, strict=True):
        is_polygon = (
            polygon.dtype.kind in "uif" and polygon.ndim == 2 and polygon.shape[0] == 2 and polygon.shape[1] >= 3
        )
        if not is_polygon or not (np.abs(polygon) < _FARTHEST).all():
            raise ValueError(
                f"{struct.where}: the polygon of {number} is {list(polygon.shape)} of {polygon.dtype}; wanted [2, K] with K "
                f"from 3 on: coordinates in pixels, below {_FARTHEST}, x then y"
            )
    return [(p, n, q.astype(float)) for p, n, q in zip(parents, numbers, polygons, strict=True)]


def _box(polygon: Polygon) -> Corners:
    left, top = np.floor(polygon.min(1)) - 1
    right, bottom = np.ceil(polygon.max(1))
    return Corners(float(left), float(top), float(right), float(bottom))
