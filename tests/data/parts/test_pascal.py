"""PASCAL-Part on files written here: what is read, where it is looked for, and what can be wrong with a copy."""

from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from crfrnn.data.parts import Corners, PascalPart, read_annotation
from tests.part_files import pascal_object, person, rectangle, structs, write_pascal


def test_objects_and_parts_in_the_order_of_the_file(tmp_path: Path) -> None:
    car = pascal_object(
        "car", rectangle(0, 2, 0, 8), [("wheel_2", rectangle(1, 2, 6, 8)), ("door_1", rectangle(0, 1, 1, 3))]
    )
    path = write_pascal(tmp_path, "a", [person(), pascal_object("table", rectangle(4, 6, 0, 2)), car])
    found = read_annotation(path)
    assert found.size == (6, 8)
    assert [each.object_class for each in found.objects] == ["person", "diningtable", "car"]
    assert [[part.name for part in each.parts] for each in found.objects] == [
        ["head", "torso", "luarm", "ruleg"], [], ["wheel_2", "door_1"]
    ]  # fmt: skip
    wheel = found.objects[2].parts[0].mask
    assert wheel.dtype == bool
    assert np.argwhere(wheel).tolist() == [[1, 6], [1, 7]]


def test_masks_may_be_logical(tmp_path: Path) -> None:
    path = write_pascal(tmp_path, "a", [pascal_object("boat", rectangle(0, 2, 0, 8).astype(bool))])
    assert read_annotation(path).objects[0].mask.sum() == 16


def test_lists_and_layouts(tmp_path: Path) -> None:
    root = tmp_path / "VOCdevkit" / "VOC2010"
    for name in ("2008_000003", "2008_000001", "2008_000002"):
        write_pascal(root, name, [person()])
    (root / "ImageSets" / "Main" / "train.txt").write_text("2008_000003\n2008_000001\n")
    (root / "ImageSets" / "Main" / "person_val.txt").write_text("2008_000001 -1\n2008_000002  1\n2008_000003  0\n")
    assert PascalPart(root, "train").names == ["2008_000003", "2008_000001"]
    assert PascalPart(root, "person_val").names == ["2008_000002", "2008_000003"]
    assert PascalPart(tmp_path, "all").names == ["2008_000001", "2008_000002", "2008_000003"]
    flat = tmp_path / "flat"
    flat.mkdir()
    for file in (root / "JPEGImages" / "2008_000001.jpg", root / "Annotations_Part" / "2008_000001.mat"):
        file.rename(flat / file.name)
    (flat / "own.txt").write_text("2008_000001\n")
    source = PascalPart(flat, "own")
    assert source.image("2008_000001").shape == (3, 6, 8)
    assert source.objects("2008_000001") == [("person", Corners(2, 1, 6, 6), True)]


def test_missing_things_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="holds no annotations"):
        PascalPart(tmp_path, "train")
    path = write_pascal(tmp_path, "a", [person()])
    main = tmp_path / "ImageSets" / "Main"
    with pytest.raises(FileNotFoundError, match="there is no list train: found none"):
        PascalPart(tmp_path, "train")
    (main / "train.txt").write_text("a\nb\n")
    with pytest.raises(FileNotFoundError, match=r"2 files listed in train do not exist: .*b\.jpg.*b\.mat"):
        PascalPart(tmp_path, "train")
    (main / "none.txt").write_text("a -1\n")
    with pytest.raises(ValueError, match="names no image"):
        PascalPart(tmp_path, "none")
    with pytest.raises(ValueError, match=r"a\.mat has masks of \[6, 8\], its image .*a\.jpg is \[6, 9\]"):
        PascalPart(tmp_path, "all").annotation("a", (6, 9))
    path.unlink()
    with pytest.raises(FileNotFoundError, match="there is no file"):
        read_annotation(path)


def test_files_that_matlab_did_not_write_are_named(tmp_path: Path) -> None:
    path = write_pascal(tmp_path, "a", [person()])
    whole = path.read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 0xFF
    for content in (whole[: len(whole) // 2], bytes(flipped), b"", b"GIF89a" * 40, b"\x89HDF\r\n\x1a\n" + bytes(600)):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"a\.mat (cannot be read|holds no struct)"):
            read_annotation(path)
    savemat(path, {"other": structs([{"objects": 1}])})
    with pytest.raises(ValueError, match=r"a\.mat holds no struct 'anno'"):
        read_annotation(path)


MASK = rectangle(0, 2, 0, 2)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (pascal_object("cat", MASK, class_ind=9), r"objects\(1\) is a cat with the index \[9\]; wanted 8"),
        (pascal_object("cat", MASK, **{"class": "kitten"}), r"objects\(1\) is of the class 'kitten'"),
        (pascal_object("cat", MASK, **{"class": 3.0}), r"objects\(1\).class is an array"),
        (pascal_object("cat", 0 * MASK), r"objects\(1\).mask is empty"),
        (pascal_object("cat", 2 * MASK), r"objects\(1\).mask is \[6, 8\] of uint8; wanted \[H, W\] of zeros and ones"),
        (pascal_object("cat", np.array([["text"]])), r"objects\(1\).mask is \[1, 1\] of <U4"),
        (pascal_object("cat", MASK, [("hoof", MASK)]), r"parts\(1\) is the part 'hoof'; the parts of a cat are head, "),
        (pascal_object("boat", MASK, [("sail", MASK)]), r"the parts of a boat are none"),
        (pascal_object("cat", MASK, [("head", MASK[:, :4])]), r"masks of different sizes, \[\(6, 4\), \(6, 8\)\]"),
        (pascal_object("cat", MASK, parts=np.ones((1, 2))), r"part_name is an array \[1, 1\] of float64; wanted text"),
        ({"class": "cat", "class_ind": 8, "mask": MASK}, r"objects\(1\) has no field 'parts', only class, class_ind, mask"),
    ],
)  # fmt: skip
def test_what_is_wrong_in_a_file_is_named(tmp_path: Path, wrong: dict, message: str) -> None:
    path = write_pascal(tmp_path, "a", [wrong])
    with pytest.raises(ValueError, match=rf"a\.mat.*{message}"):
        read_annotation(path)


def test_a_file_of_another_image_is_named(tmp_path: Path) -> None:
    path = write_pascal(tmp_path, "a", [pascal_object("cat", MASK)]).rename(tmp_path / "Annotations_Part" / "b.mat")
    with pytest.raises(
        ValueError, match=r"b\.mat: anno is the annotation of 'a'; wanted the image that the file is named after"
    ):
        read_annotation(path)


def test_a_file_without_objects_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"a\.mat holds no object"):
        read_annotation(write_pascal(tmp_path, "a", []))
