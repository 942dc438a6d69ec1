"""PASCAL-Part: VOC 2010 photographs and an annotation file for each.

Below the root, which may also be the VOCdevkit or one folder that holds everything:

    JPEGImages/<id>.jpg
    Annotations_Part/<id>.mat
    ImageSets/Main/<split>.txt    an id a line; train and val are the 4,998 and 5,105 images of the data set
"""

from os import PathLike
from pathlib import Path

import numpy as np
from torch import Tensor

from crfrnn.data.images import read_image
from crfrnn.data.listing import check_files
from crfrnn.data.matfile import Struct, read_struct
from crfrnn.data.parts.annotation import AnnotatedObject, Annotation, Listed, Mask, Part, mask_box
from crfrnn.data.parts.files import ALL, find_folder, read_names
from crfrnn.data.parts.vocabulary import PASCAL_PARTS, class_index

_ORIGIN = (
    "python -m crfrnn.data.download voc2010 pascal-part --out DIR fetches photographs and annotations of PASCAL-Part, for "
    "--data DIR"
)
_ROOTS = (".", "VOC2010", "VOCdevkit/VOC2010")


class PascalPart:
    """The listed images of PASCAL-Part; every listed file is looked for at once.

    Args:
        root: see above.
        split: a list in ImageSets/Main or in the root, the path of a list file, or "all" for every annotation there is.

    Attributes:
        names: the ids of the images.
        vocabulary: the parts of every class.

    Raises FileNotFoundError where folders, list or files are missing.
    """

    vocabulary = PASCAL_PARTS
    object_first = False

    def __init__(self, root: str | PathLike[str], split: str | PathLike[str]) -> None:
        self.root = Path(root)
        folders = [f"{base}/Annotations_Part" for base in (*_ROOTS, "trainval")]
        self._annotations = find_folder(self.root, [*folders, "."], "*.mat", "annotations", _ORIGIN)
        photos = [*(f"{base}/JPEGImages" for base in _ROOTS), "."]
        self._images = find_folder(self.root, photos, "*.jpg", "photographs", _ORIGIN)
        if split == ALL:
            self.names = sorted(path.stem for path in self._annotations.glob("*.mat"))
        else:
            self.names = read_names([self._images.parent / "ImageSets" / "Main", self.root], split)
        check_files((file(name) for file in (self._image_file, self._annotation_file) for name in self.names), split)

    def image(self, name: str) -> Tensor:
        """uint8 RGB [3, H, W]; raises as `read_image`."""
        return read_image(self._image_file(name))

    def annotation(self, name: str, size: tuple[int, int]) -> Annotation:
        """The annotation of an image of `size` (H, W). Raises as `read_annotation`, and ValueError for another size."""
        annotation = read_annotation(self._annotation_file(name))
        if annotation.size != size:
            raise ValueError(
                f"{self._annotation_file(name)} has masks of {list(annotation.size)}, its image {self._image_file(name)} is "
                f"{list(size)} (height, width); wanted equal sizes"
            )
        return annotation

    def objects(self, name: str) -> list[Listed]:
        """The objects of an image. Raises as `read_annotation`."""
        objects = read_annotation(self._annotation_file(name)).objects
        return [Listed(each.object_class, mask_box(each.mask), bool(each.parts)) for each in objects]

    def _image_file(self, name: str) -> Path:
        return self._images / f"{name}.jpg"

    def _annotation_file(self, name: str) -> Path:
        return self._annotations / f"{name}.mat"


def read_annotation(path: str | PathLike[str]) -> Annotation:
    """Read one .mat file of PASCAL-Part.

    Raises FileNotFoundError where there is none, and ValueError, with the file and the field in it, where it is damaged,
    belongs to another image than its name says, or has an unknown class or part, masks of different sizes, masks of other
    values than 0 and 1, or an object without a pixel.
    """
    anno = read_struct(Path(path), "anno", "parts")
    if anno.text("imname") != Path(path).stem:
        raise ValueError(
            f"{anno.where} is the annotation of {anno.text('imname')!r}; wanted the image that the file is named after"
        )
    objects = anno.structs("objects")
    if not objects:
        raise ValueError(f"{path} holds no object; wanted at least one")
    found = tuple(_read_object(each) for each in objects)
    sizes = {mask.shape for each in found for mask in (each.mask, *(part.mask for part in each.parts))}
    if len(sizes) > 1:
        raise ValueError(f"{path} has masks of different sizes, {sorted(sizes)}; wanted that of the image for all")
    return Annotation(found, found[0].mask.shape)  # type: ignore[arg-type]


def _read_object(struct: Struct) -> AnnotatedObject:
    name = struct.text("class")
    name = "diningtable" if name == "table" else name
    if name not in PASCAL_PARTS:
        raise ValueError(f"{struct.where} is of the class {name!r}; the classes are {', '.join(PASCAL_PARTS)}")
    index = struct.numbers("class_ind").tolist()
    if index != [class_index(name)]:
        raise ValueError(f"{struct.where} is a {name} with the index {index}; wanted {class_index(name)}")
    mask = _read_mask(struct)
    if not mask.any():
        raise ValueError(f"{struct.where}.mask is empty; wanted at least one pixel of the {name}")
    return AnnotatedObject(name, mask, tuple(_read_part(each, name) for each in struct.structs("parts")))


def _read_part(struct: Struct, object_class: str) -> Part:
    name = struct.text("part_name")
    if name not in PASCAL_PARTS[object_class]:
        known = ", ".join(PASCAL_PARTS[object_class]) or "none"
        raise ValueError(f"{struct.where} is the part {name!r}; the parts of a {object_class} are {known}")
    return Part(name, _read_mask(struct))


def _read_mask(struct: Struct) -> Mask:
    mask = struct.array("mask")
    if mask.ndim != 2 or not mask.size or mask.dtype.kind not in "uifb" or not np.isin(mask, (0, 1)).all():
        raise ValueError(f"{struct.where}.mask is {list(mask.shape)} of {mask.dtype}; wanted [H, W] of zeros and ones")
    return mask.astype(bool)
