"""The instance annotations of COCO: images, and the objects in each of them."""

import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar

from crfrnn._files import read_json
from crfrnn.data.coco.labels import COCO_CATEGORIES, COCO_LABELS
from crfrnn.data.sample import VOID

LabelName = Literal["voc", "coco", "joint"]
T = TypeVar("T")

_SINGULAR = {"images": "image", "annotations": "annotation", "categories": "category"}


class CocoObject(NamedTuple):
    """One annotation: its id, label (void for a crowd), outline as in the file, and box (x, y, width, height)."""

    number: int
    label: int
    outline: Any
    box: tuple[float, float, float, float]


class CocoImage(NamedTuple):
    """An image, its size according to the annotations, and its objects."""

    path: Path
    number: int
    split: str
    annotations: Path
    height: int
    width: int
    objects: list[CocoObject]

    @property
    def key(self) -> str:
        """The line that names it in a list."""
        return f"{self.split} {self.number}"


class _Annotation(NamedTuple):
    number: int
    category: int
    image: int
    crowd: bool
    outline: Any
    box: tuple[float, float, float, float]


def annotation_folders(root: Path) -> tuple[Path, ...]:
    """Where annotation files may be, below the folder of COCO."""
    return root / "annotations", root


def annotation_file(root: Path, split: str) -> Path:
    """The file with the annotations of a split. Raises FileNotFoundError, which says what makes or fetches it."""
    files = [folder / f"instances_{split}.json" for folder in annotation_folders(root)]
    file = next((file for file in files if file.is_file()), None)
    if file is None:
        year = "2014" if "2014" in split else "2017"
        raise FileNotFoundError(
            f"there is neither a list {root / 'lists' / split}.txt nor {files[0]}; wanted the instance annotations of COCO, "
            f"or a list of its images. python -m crfrnn.data.download coco{year} --out DIR fetches COCO into DIR, and "
            f"python -m crfrnn.data.coco_list --data {root} --splits train{year} val{year} --out "
            f"{root / 'lists' / split}.txt writes the list of the images that show VOC's classes"
        )
    return file


def read_annotations(root: Path, split: str, labels: LabelName) -> dict[str, CocoImage]:
    """The images of an annotation file by their ids, as text.

    Raises FileNotFoundError where there is no such file, and ValueError, naming the file and the annotation, where it is
    damaged or of other categories. Outlines are taken as they are.
    """
    file = annotation_file(root, split)
    content = read_json(file)
    folder = _image_folder(root, split)
    images: dict[int, CocoImage] = {}
    for image in _read_each(file, content, "images", lambda entry: _image(entry, folder, split, file)):
        if images.setdefault(image.number, image) is not image:
            raise ValueError(f"{file} has several images of the id {image.number}; wanted one of each")
    found = list(_read_each(file, content, "annotations", _annotation))
    categories = dict(_read_each(file, content, "categories", lambda entry: (_whole(entry, "id", 0), entry["name"])))
    _check_categories(file, categories)
    for each in found:
        if each.category not in COCO_CATEGORIES:
            raise ValueError(f"{file}, annotation {each.number}: there is no category {each.category} in COCO")
        if each.image not in images:
            raise ValueError(f"{file}, annotation {each.number}: there is no image {each.image} in this file")
        label = VOID if each.crowd else COCO_LABELS[labels].of.get(each.category)
        if label is not None:
            images[each.image].objects.append(CocoObject(each.number, label, each.outline, each.box))
    return {str(number): image for number, image in images.items()}


def _image_folder(root: Path, split: str) -> Path:
    candidates = (root / split, root / "images" / split, root / "images")
    return next((candidate for candidate in candidates if candidate.is_dir()), candidates[0])


def _read_each(file: Path, content: Any, kind: str, read: Callable[[Any], T]) -> Iterator[T]:
    """What `read` makes of every entry in one of the lists of the file."""
    entries = content.get(kind) if isinstance(content, dict) else None
    if not isinstance(entries, list):
        raise ValueError(f"{file} has no list of {kind}; wanted the instance annotations of COCO")
    for position, entry in enumerate(entries):
        try:
            found = read(entry)
        except (KeyError, OverflowError, TypeError, ValueError) as error:
            number = entry.get("id") if isinstance(entry, dict) else None
            where = f"entry {position} of {kind}" if number is None else f"{_SINGULAR[kind]} {number}"
            reason = f"it has no {error}" if isinstance(error, KeyError) else error
            raise ValueError(f"{file}, {where}: {reason}; wanted the instance annotations of COCO") from error
        yield found


def _image(content: Mapping[str, Any], folder: Path, split: str, file: Path) -> CocoImage:
    number, height, width = _whole(content, "id", 0), _whole(content, "height", 1), _whole(content, "width", 1)
    return CocoImage(folder / content["file_name"], number, split, file, height, width, [])


def _annotation(content: Mapping[str, Any]) -> _Annotation:
    number, category, image = (_whole(content, name, 0) for name in ("id", "category_id", "image_id"))
    box = content["bbox"]
    if not isinstance(box, list) or len(box) != 4 or not all(isinstance(side, (int, float)) for side in box):
        raise ValueError(f"the box is {box!r}, not four numbers")
    x, y, width, height = map(float, box)
    if not all(map(math.isfinite, (x, y, x + width, y + height))):
        raise ValueError(f"the box is {box!r}, not finite")
    crowd = content.get("iscrowd", 0)
    if crowd not in (0, 1):
        raise ValueError(f"iscrowd is {crowd!r}, not 0 or 1")
    return _Annotation(number, category, image, bool(crowd), content["segmentation"], (x, y, width, height))


def _whole(content: Mapping[str, Any], name: str, least: int) -> int:
    value = content[name]
    if not isinstance(value, int) or value < least:
        raise ValueError(f"{name} is {value!r}, not a whole number from {least} on")
    return value


def _check_categories(file: Path, categories: Mapping[int, Any]) -> None:
    renamed = [(number, name) for number, name in categories.items() if COCO_CATEGORIES.get(number) != name]
    if renamed:
        number, name = renamed[0]
        raise ValueError(
            f"{file}: category {number} is {name!r}, in COCO {COCO_CATEGORIES.get(number, 'nothing')!r}; wanted COCO's own "
            "categories and their numbers"
        )
