"""Part maps as a segmentation set: whole images, or crops around objects at one scale."""

from collections.abc import Iterator
from os import PathLike
from pathlib import Path
from typing import NamedTuple

from torch import Tensor
from torch.utils.data import Dataset
from tqdm import tqdm

from crfrnn.data.parts.annotation import Annotation, Corners, Listed, part_map
from crfrnn.data.parts.crops import cut, cut_labels, region_around, to_uint8
from crfrnn.data.parts.labels import PartLabels
from crfrnn.data.parts.occlusion import level
from crfrnn.data.parts.oid import AeroplaneOID, is_oid, oid_level
from crfrnn.data.parts.pascal import PascalPart
from crfrnn.data.sample import Sample
from crfrnn.parts import Parts

_SILENT_UP_TO = 50  # annotation files


class _Entry(NamedTuple):
    name: str
    number: int | None  # of the object, from 0; None for the whole image
    found: Listed | None

    @property
    def title(self) -> str:
        return self.name if self.number is None else f"{self.name}_{self.number + 1}"


class PartSegmentation(Dataset[Sample]):
    """Part maps of PASCAL-Part or AeroplaneOID, as a map-style dataset of `Sample`.

    Images without an object of the wanted classes are left out, and objects without annotated parts get no crop. All
    annotations are read once to find that out.

    Args:
        source: the listed images and their annotations.
        parts: which of their objects and parts are labels, and whether images are cut around objects.

    Attributes:
        root, classes, num_labels, names: as in `VOCSegmentation`; a crop is named after its image and the number of its
            object there, counted from 1: "2008_000652_1".
        parts: the settings.
        labels: the label space.

    Raises ValueError where no image holds what is wanted, and whatever the source raises, also when an item is read.
    """

    def __init__(self, source: PascalPart | AeroplaneOID, parts: Parts) -> None:
        self.root, self.parts, self._source = source.root, parts, source
        self.labels = PartLabels(
            source.vocabulary, parts.classes, parts.objects, parts.merge, object_first=source.object_first
        )
        self._level = oid_level if isinstance(source, AeroplaneOID) else level
        self._entries = list(self._find())
        if not self._entries:
            raise ValueError(
                f"none of the {len(source.names)} listed images in {self.root} has an object of the classes "
                f"{', '.join(self.labels.object_classes)} to learn from; wanted other classes, or another list"
            )

    @property
    def classes(self) -> tuple[str, ...]:
        return self.labels.names

    @property
    def num_labels(self) -> int:
        return len(self.classes)

    @property
    def names(self) -> list[str]:
        return [entry.title for entry in self._entries]

    def __len__(self) -> int:
        return len(self._entries)

    def __getitem__(self, index: int) -> Sample:
        entry = self._entries[index]
        image = self._source.image(entry.name)
        size = (image.shape[1], image.shape[2])
        annotation = self._source.annotation(entry.name, size)
        if entry.found is None:
            return Sample(image, self._map(annotation), entry.name)
        assert self.parts.side is not None
        given = self._given_class(entry)
        try:
            region = region_around(entry.found.box, size, self.parts.side, self.parts.margin)
        except ValueError as error:
            raise ValueError(f"{entry.title} in {self.root}: {error}") from error
        labels = cut_labels(self._map(annotation, given), region)
        return Sample(to_uint8(cut(image, region)), labels, entry.title)

    def allowed(self, index: int) -> Tensor | None:
        """Which labels an item can have, bool [L]; None where it can have all."""
        given = self._given_class(self._entries[index])
        return None if given is None else self.labels.allowed(given)

    def _given_class(self, entry: _Entry) -> str | None:
        return entry.found.object_class if entry.found is not None and self.parts.given_class else None

    def _map(self, annotation: Annotation, given: str | None = None) -> Tensor:
        return part_map(annotation, self.labels, self._level, given)

    def _find(self) -> Iterator[_Entry]:
        names = self._source.names
        progress = tqdm(names, desc="annotations", unit="image", disable=len(names) <= _SILENT_UP_TO, leave=None)
        for name in progress:
            found = self._source.objects(name)
            usable = [i for i, each in enumerate(found) if self._usable(each)]
            if self.parts.side is None and usable:
                yield _Entry(name, None, None)
            elif self.parts.side is not None:
                yield from (_Entry(name, i, found[i]) for i in usable if self._large(found[i].box))

    def _usable(self, found: Listed) -> bool:
        if found.object_class not in self.labels.object_classes:
            return False
        # Without parts the whole object would be void, unless it is a label itself.
        return found.has_parts or self.labels.rest(found.object_class) < self.num_labels

    def _large(self, box: Corners) -> bool:
        return box.longer_side >= self.parts.smallest


def open_parts(root: str | PathLike[str], split: str | PathLike[str], parts: Parts) -> PartSegmentation:
    """The part maps of a list: of AeroplaneOID where `root` holds its annotation, else of PASCAL-Part.

    Raises as `AeroplaneOID`, `PascalPart` and `PartSegmentation` do.
    """
    return PartSegmentation(find_parts(root, split), parts)


def find_parts(root: str | PathLike[str], split: str | PathLike[str]) -> PascalPart | AeroplaneOID:
    """The listed images of AeroplaneOID or PASCAL-Part, whose annotations are not read yet. Raises as these do."""
    return AeroplaneOID(root, split) if is_oid(Path(root)) else PascalPart(root, split)
