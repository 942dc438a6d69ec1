"""Overlap rules on hand-drawn cases: 0 is background, 9 stands for void."""

import numpy as np
import torch

from crfrnn.data.parts import PASCAL_PARTS, AnnotatedObject, Annotation, Part, PartLabels, index_maps, part_map
from crfrnn.data.parts.occlusion import level


def mask(*rows: str) -> np.ndarray:
    return np.array([[cell == "#" for cell in row] for row in rows])


def drawn(annotation: Annotation, labels: PartLabels, given_class: str | None = None) -> list[str]:
    found = part_map(annotation, labels, level, given_class)
    assert found.dtype == torch.uint8
    return ["".join(str(min(value, 9)) for value in row) for row in found.tolist()]


FACE = AnnotatedObject(
    "person",
    mask("####..", "####..", "####.."),
    (
        Part("hair", mask("####..", "......", "......")),
        Part("nose", mask(".##...", ".##...", "......")),
        Part("head", mask("###...", "###...", "......")),
        Part("neck", mask("......", "......", "###...")),
        Part("torso", mask("......", "......", ".##...")),
    ),
)
TABLE = AnnotatedObject("diningtable", mask("......", "...###", "...###"))
FACES = PartLabels(PASCAL_PARTS, ["person"], merge="numbers")
HEAD, NOSE, HAIR, TORSO, NECK = (FACES.names.index(name) for name in ("head", "nose", "hair", "torso", "neck"))


def test_levels_decide_and_then_the_order_of_the_file() -> None:
    found = part_map(Annotation((FACE,), (3, 6)), FACES, level)
    assert found.tolist() == [
        [HAIR, HAIR, HAIR, HAIR, 0, 0],  # above the nose, though it comes first in the file
        [HEAD, NOSE, NOSE, 255, 0, 0],  # nobody said what the fourth pixel is
        [NECK, TORSO, TORSO, 255, 0, 0],  # both are large parts: the later one is above
    ]


def test_the_official_conversion_goes_by_the_file_alone() -> None:
    maps = index_maps(Annotation((FACE, TABLE), (3, 6)))
    assert maps.pids.tolist() == [
        [1, 1, 1, 10, 0, 0],  # the head, read last, covers hair and nose
        [1, 1, 1, 0, 0, 0],
        [12, 11, 11, 0, 0, 0],
    ]
    assert maps.classes.tolist() == [[15, 15, 15, 15, 0, 0], [15, 15, 15, 11, 11, 11], [15, 15, 15, 11, 11, 11]]
    assert maps.instances.tolist() == [[1, 1, 1, 1, 0, 0], [1, 1, 1, 2, 2, 2], [1, 1, 1, 2, 2, 2]]


def test_a_later_object_covers_an_earlier_one() -> None:
    labels = PartLabels(PASCAL_PARTS, ["bottle"], ["diningtable", "person"])
    bottle = AnnotatedObject(
        "bottle",
        mask("....#.", "....#.", "....#."),
        (Part("cap", mask("....#.", "......", "......")), Part("body", mask("....#.", "....#.", "......"))),
    )
    assert drawn(Annotation((TABLE, bottle), (3, 6)), labels) == ["000010", "000323", "000393"]
    assert drawn(Annotation((bottle, TABLE), (3, 6)), labels) == ["000010", "000333", "000333"]


def test_objects_without_labels_are_background_and_cover_too() -> None:
    labels = PartLabels(PASCAL_PARTS, ["person"], merge="coarse")
    assert drawn(Annotation((FACE, TABLE), (3, 6)), labels) == ["111100", "111000", "222000"]


def test_a_given_class_leaves_the_others_out() -> None:
    labels = PartLabels(PASCAL_PARTS, ["person", "diningtable"], merge="coarse")
    both = Annotation((FACE, TABLE), (3, 6))
    assert drawn(both, labels) == ["111100", "111777", "222777"]
    assert drawn(both, labels, "person") == ["111100", "111000", "222000"]
    assert drawn(both, labels, "diningtable") == ["000000", "000777", "000777"]


def test_an_object_without_annotated_parts_is_void() -> None:
    bare = AnnotatedObject("person", FACE.mask)
    assert drawn(Annotation((bare,), (3, 6)), FACES) == ["999900"] * 3
