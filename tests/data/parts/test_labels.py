"""Label spaces for one class, for several, and for objects and parts together."""

import pytest

from crfrnn.data.parts import PASCAL_PARTS, PartLabels
from crfrnn.data.parts.oid import OID_PARTS


def test_one_class_by_its_indices() -> None:
    labels = PartLabels(PASCAL_PARTS, ["bottle"])
    assert labels.names == ("background", "cap", "body")
    assert [labels.label("bottle", part) for part in ("cap", "body")] == [1, 2]
    assert labels.label("cat", "head") is None
    assert (labels.rest("bottle"), labels.rest("cat")) == (255, 0)


def test_several_classes_say_which_one() -> None:
    labels = PartLabels(PASCAL_PARTS, ["person", "cat", "boat"], merge="coarse")
    assert labels.names == (
        "background",
        "person head", "person torso", "person lower arm", "person upper arm", "person lower leg", "person upper leg",
        "cat head", "cat body", "cat leg", "cat tail",
        "boat",
    )  # fmt: skip
    assert labels.label("cat", "lear") == labels.label("cat", "nose") == 7
    assert labels.label("person", "lear") == 1
    assert labels.rest("boat") == 11
    assert labels.allowed("cat").nonzero().flatten().tolist() == [0, 7, 8, 9, 10]
    assert labels.allowed("boat").nonzero().flatten().tolist() == [0, 11]


def test_objects_and_parts_together() -> None:
    labels = PartLabels(PASCAL_PARTS, ["bottle"], ["person", "diningtable"])
    assert labels.names == ("background", "bottle cap", "bottle body", "person", "diningtable")
    assert labels.label("person", "head") is None
    assert labels.rest("person") == 3
    assert labels.part_names == ("bottle cap", "bottle body")


def test_sides_change_places_in_the_mirror_where_they_are_labels() -> None:
    labels = PartLabels(PASCAL_PARTS, ["tvmonitor", "car"], merge="numbers")
    swapped = {labels.names[i]: labels.names[j] for i, j in enumerate(labels.mirrored) if i != j}
    assert swapped == {
        "car leftside": "car rightside", "car rightside": "car leftside",
        "car leftmirror": "car rightmirror", "car rightmirror": "car leftmirror",
    }  # fmt: skip
    merged = PartLabels(PASCAL_PARTS, ["car", "person"])
    assert merged.mirrored == tuple(range(len(merged.names)))


def test_an_aeroplane_is_a_label_before_its_parts() -> None:
    labels = PartLabels(OID_PARTS, ["aeroplane"], object_first=True)
    assert labels.names == ("background", "aeroplane", "verticalStabilizer", "nose", "wing", "wheel")
    assert labels.rest("aeroplane") == 1
    assert labels.allowed("aeroplane").all()


def test_wrong_classes_are_named() -> None:
    with pytest.raises(ValueError, match="class 'cart'; the classes are aeroplane"):
        PartLabels(PASCAL_PARTS, ["cart"])
    with pytest.raises(ValueError, match="'cat' was given twice"):
        PartLabels(PASCAL_PARTS, ["cat"], ["cat"])
    with pytest.raises(ValueError, match="merge is 'Coarse'; wanted one of none, numbers, published, coarse"):
        PartLabels(PASCAL_PARTS, ["cat"], merge="Coarse")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="would be 389 labels; wanted 2 to 255"):
        PartLabels(PASCAL_PARTS, list(PASCAL_PARTS), merge="none")
