"""PASCAL-Part and AeroplaneOID files of a few pixels, as MATLAB would have written them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from scipy.io import savemat

from crfrnn.data.parts.vocabulary import class_index

SIZE = (6, 8)


def rectangle(top: int, bottom: int, left: int, right: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    """A mask of ones in rows top..bottom-1 and columns left..right-1."""
    mask = np.zeros(size, np.uint8)
    mask[top:bottom, left:right] = 1
    return mask


def structs(rows: Sequence[Mapping[str, Any]]) -> np.ndarray:
    """A 1 x N struct array; 0 x 0 where there is none, as MATLAB writes []."""
    if not rows:
        return np.zeros((0, 0))
    array = np.empty((1, len(rows)), dtype=[(name, object) for name in rows[0]])
    for i, row in enumerate(rows):
        array[0, i] = tuple(row.values())
    return array


def pascal_object(name: str, mask: np.ndarray, parts: Sequence[tuple[str, np.ndarray]] = (), **changes: Any) -> dict:
    rows = [{"part_name": part, "mask": each} for part, each in parts]
    index = class_index("diningtable" if name == "table" else name)
    return {"class": name, "class_ind": index, "mask": mask, "parts": structs(rows), **changes}


def write_pascal(root: Path, name: str, objects: Sequence[dict], size: tuple[int, int] = SIZE) -> Path:
    """An image and its annotation in the layout of the release; returns the annotation file."""
    for folder in ("JPEGImages", "Annotations_Part", "ImageSets/Main"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(root / "JPEGImages" / f"{name}.jpg")
    path = root / "Annotations_Part" / f"{name}.mat"
    savemat(path, {"anno": structs([{"imname": name, "objects": structs(objects)}])}, do_compression=True)
    return path


def person(top: int = 1) -> dict:
    """Six rows: head, torso with an arm beside it, a leg; one pixel of the silhouette belongs to no part."""
    return pascal_object(
        "person",
        rectangle(top, 6, 2, 6),
        [
            ("head", rectangle(top, top + 1, 2, 5)),
            ("torso", rectangle(top + 1, top + 3, 2, 5)),
            ("luarm", rectangle(top + 1, top + 3, 5, 6)),
            ("ruleg", rectangle(top + 3, 6, 2, 6)),
        ],
    )


def polygon(left: float, top: float, right: float, bottom: float) -> np.ndarray:
    """A rectangle through the centers of its corner pixels, which count from 1."""
    return np.array([[left, right, right, left], [top, top, bottom, bottom]], float)


def cells(values: Sequence[Any]) -> np.ndarray:
    array = np.empty((1, len(values)), dtype=object)
    for i, value in enumerate(values):
        array[0, i] = value
    return array


def outlines(rows: Sequence[tuple[int, int, np.ndarray]]) -> np.ndarray:
    """(id, parentId, polygon) of everything of one kind."""
    ids, parents, polygons = zip(*rows, strict=True) if rows else ((), (), ())
    return structs([{"id": np.array([ids]), "parentId": np.array([parents]), "polygon": cells(polygons)}])


def write_oid(root: Path, size: tuple[int, int] = SIZE, **changes: np.ndarray) -> Path:
    """Three images, a.jpg with two aeroplanes (train), b.jpg with one and c.jpg with none (val); returns anno.mat."""
    folder = root / "images" / "aeroplane"
    folder.mkdir(parents=True, exist_ok=True)
    for name in "abc":
        Image.new("RGB", size[::-1], (200, 40, 90)).save(folder / f"{name}.jpg")
    image = {"id": np.array([[1, 2, 3]]), "name": cells(["a.jpg", "b.jpg", "c.jpg"]), "set": np.array([[1, 2, 2]])}
    sets = structs([{"set": cells(["train", "val"])}])
    content = {
        "image": structs([image]),
        "meta": structs([{"image": sets}]),
        "aeroplane": outlines([(101, 1, polygon(1, 1, 4, 6)), (102, 1, polygon(6, 1, 8, 3)), (103, 2, polygon(2, 2, 7, 5))]),
        "verticalStabilizer": outlines([(201, 101, polygon(1, 1, 2, 2))]),
        "nose": outlines([(301, 103, polygon(6, 3, 7, 4))]),
        "wing": outlines([(401, 101, polygon(2, 3, 4, 4)), (402, 103, polygon(3, 3, 4, 5))]),
        "wheel": outlines([(501, 101, polygon(3, 4, 4, 5))]),
    }  # fmt: skip
    path = root / "anno.mat"
    savemat(path, {"anno": structs([{**content, **changes}])})
    return path
