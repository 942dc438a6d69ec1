"""Boxes by hand: coordinates of VOC's annotations, objects and regions of masks."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from crfrnn.data import VOC_CLASSES, LabeledBox, clipped, object_boxes, region_boxes, voc_boxes


def annotation(*objects: str, size: str = "<size><width>20</width><height>10</height><depth>3</depth></size>") -> str:
    return f"<annotation><filename>a.jpg</filename>{size}{''.join(objects)}</annotation>"


def thing(name: str, xmin: object, ymin: object, xmax: object, ymax: object, more: str = "") -> str:
    box = f"<xmax>{xmax}</xmax><xmin>{xmin}</xmin><ymin>{ymin}</ymin><ymax>{ymax}</ymax>"
    return f"<object><name>{name}</name>{more}<bndbox>{box}</bndbox></object>"


LAUGHS = (
    "<!DOCTYPE a [<!ENTITY e0 'ha'>"
    + "".join(f"<!ENTITY e{i} '{f'&e{i - 1};' * 10}'>" for i in range(1, 10))
    + "]><a>&e9;</a>"
)


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str], Path]:
    def make(text: str) -> Path:
        path = tmp_path / "a.xml"
        path.write_text(text)
        return path

    return make


def test_coordinates_count_from_one_and_include_both_ends(write: Callable) -> None:
    boxes = voc_boxes(write(annotation(thing("cat", 1, 1, 20, 10), thing("dog", 3, 2, 3, 2))), VOC_CLASSES)
    assert boxes == [LabeledBox(8, 0, 0, 10, 20), LabeledBox(12, 1, 2, 2, 3)]
    assert [box.area for box in boxes] == [200, 1]
    decimal = voc_boxes(write(annotation(thing("cat", "2.4", "1.6", "7.5", "4.49"))), VOC_CLASSES)
    assert decimal == [LabeledBox(8, 1, 1, 4, 8)]


def test_parts_poses_and_difficult_objects(write: Callable) -> None:
    part = "<part><name>head</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>2</xmax><ymax>2</ymax></bndbox></part>"
    text = annotation(
        thing("person", 2, 2, 9, 9, "<difficult>0</difficult>" + part), thing("cat", 1, 1, 4, 4, "<difficult>1</difficult>")
    )  # fmt: skip
    assert voc_boxes(write(text), VOC_CLASSES) == [LabeledBox(15, 1, 1, 9, 9), LabeledBox(255, 0, 0, 4, 4)]
    assert voc_boxes(write(annotation()), VOC_CLASSES) == []


def test_boxes_are_clipped_to_the_image(write: Callable) -> None:
    text = annotation(thing("cat", 0, -3, 25, 4), thing("dog", 21, 1, 30, 5))
    assert voc_boxes(write(text), VOC_CLASSES) == [LabeledBox(8, 0, 0, 4, 20)]
    assert clipped([LabeledBox(1, 5, 5, 5, 9)], 10, 10) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (annotation(thing("cat", 5, 1, 4, 3)), r"a\.xml has a box of a cat with rows 1\.\.3 and columns 5\.\.4"),
        (annotation(thing("unicorn", 1, 1, 4, 3)), "class 'unicorn'; wanted one of aeroplane, bicycle"),
        (annotation(thing("background", 1, 1, 4, 3)), r"a\.xml has an object of class 'background'"),
        (annotation(thing("cat", "a", 1, 4, 3)), "wanted four finite numbers"),
        (annotation(size=""), r"a\.xml has no size/height in <annotation>"),
        (
            annotation(size="<size><width>x</width><height>9</height></size>"),
            r"a\.xml has an image with a width of 'x'",
        ),
        (
            annotation(size="<size><width>9</width><height>0</height></size>"),
            r"a\.xml has an image with a height of '0'",
        ),
        (annotation(thing("cat", 1, 1, 4, 3)).replace("<xmin>1</xmin>", ""), "no bndbox/xmin"),
        (annotation(thing("cat", "inf", 1, 4, 3)), r"a\.xml has a box of a cat at .*wanted four finite numbers"),
        (annotation(thing("cat", "nan", 1, 4, 3)), r"a\.xml has a box of a cat at .*wanted four finite numbers"),
        (
            annotation(size=f"<size><width>9</width><height>{'9' * 5000}</height></size>"),
            r"a\.xml has an image with a height",
        ),
        ("<annotation><obj", r"a\.xml is not readable XML"),
        ("", r"a\.xml is not readable XML"),
        ("\0\0\0", r"a\.xml is not readable XML"),
        ("<?xml version='1.0' encoding='klingon'?><a/>", r"a\.xml is not readable XML .*klingon"),
        ("<?xml version='1.0' encoding='utf-7'?><a/>", r"a\.xml is not readable XML"),
        (LAUGHS, r"a\.xml is not readable XML"),
        ("<a>" * 100_000 + "</a>" * 100_000, r"a\.xml has no size/height in <a>"),
    ],
)
def test_damage_names_the_file(write: Callable, text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        voc_boxes(write(text), VOC_CLASSES)


def test_no_annotation(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no annotation .*b\.xml"):
        voc_boxes(tmp_path / "b.xml", VOC_CLASSES)


MAP = """
    1 1 . . v
    . 1 . 2 2
    . . 1 2 2
    . . . . .
    1 . . . 2
"""


def grid(text: str) -> torch.Tensor:
    rows = [line.split() for line in text.strip().splitlines()]
    return torch.tensor([[{".": 0, "v": 255}.get(cell) or int(cell.strip("v.") or 0) for cell in row] for row in rows])


def test_objects_of_a_mask() -> None:
    objects = grid(MAP)
    labels = torch.where(objects == 1, 12, torch.where(objects == 2, 15, objects))
    labels[0, 0] = 3  # a few pixels of another label do not matter
    assert object_boxes(objects, labels) == [LabeledBox(12, 0, 0, 5, 3), LabeledBox(15, 1, 3, 5, 5)]
    labels[objects == 2] = 255
    assert object_boxes(objects, labels) == [LabeledBox(12, 0, 0, 5, 3)]
    with pytest.raises(ValueError, match="of one size"):
        object_boxes(objects, labels[1:])


def test_connected_regions_of_a_mask() -> None:
    assert region_boxes(grid(MAP).to(torch.uint8)) == [
        LabeledBox(1, 0, 0, 3, 3), LabeledBox(1, 4, 0, 5, 1), LabeledBox(2, 1, 3, 3, 5), LabeledBox(2, 4, 4, 5, 5)
    ]  # fmt: skip
    assert region_boxes(torch.full((3, 3), 255)) == []
