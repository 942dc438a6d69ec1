"""AeroplaneOID on a file written here: polygons to masks by hand, parents, sets, and damage."""

from pathlib import Path

import numpy as np
import pytest
from scipy.sparse import csc_array

from crfrnn.data.parts import AeroplaneOID, Corners, Parts, PartSegmentation
from crfrnn.data.parts.oid import filled, is_oid
from tests.part_files import cells, outlines, polygon, structs, write_oid


def test_a_polygon_covers_the_pixels_it_goes_through() -> None:
    assert np.argwhere(filled(polygon(2, 1, 3, 2), (3, 4))).tolist() == [[0, 1], [0, 2], [1, 1], [1, 2]]
    triangle = np.array([[1.0, 5.0, 1.0], [1.0, 5.0, 5.0]])
    assert filled(triangle, (5, 5)).tolist() == np.tri(5, dtype=bool).tolist()
    assert filled(polygon(-3, -3, 2, 1), (2, 3)).tolist() == [[True, True, False], [False, False, False]]


def test_parts_lie_on_their_aeroplane(tmp_path: Path) -> None:
    write_oid(tmp_path)
    dataset = PartSegmentation(AeroplaneOID(tmp_path, "train"), Parts(classes=("aeroplane",)))
    assert dataset.classes == ("background", "aeroplane", "verticalStabilizer", "nose", "wing", "wheel")
    sample = dataset[0]
    assert (sample.name, sample.image.shape) == ("a", (3, 6, 8))
    assert sample.labels.tolist() == [
        [2, 2, 1, 1, 0, 1, 1, 1],
        [2, 2, 1, 1, 0, 1, 1, 1],
        [1, 4, 4, 4, 0, 1, 1, 1],
        [1, 4, 5, 5, 0, 0, 0, 0],  # the wheel is above the wing
        [1, 1, 5, 5, 0, 0, 0, 0],
        [1, 1, 1, 1, 0, 0, 0, 0],
    ]


def test_sets_and_boxes(tmp_path: Path) -> None:
    write_oid(tmp_path)
    assert is_oid(tmp_path)
    assert not is_oid(tmp_path / "images")
    assert AeroplaneOID(tmp_path, "all").names == ["a", "b"]
    val = AeroplaneOID(tmp_path, "val")
    assert val.names == ["b", "c"]
    assert val.objects("b") == [("aeroplane", Corners(1, 1, 7, 5), True)]
    assert val.objects("c") == []
    (tmp_path / "own.txt").write_text("b.jpg\na.jpg\n")
    own = AeroplaneOID(tmp_path, "own")
    assert own.names == ["b", "a"]
    assert own.objects("a")[1] == ("aeroplane", Corners(5, 0, 8, 3), False)
    assert PartSegmentation(val, Parts(classes=("aeroplane",))).names == ["b"]


def test_missing_things_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"holds no annotation \(anno\.mat"):
        AeroplaneOID(tmp_path, "train")
    path = write_oid(tmp_path)
    with pytest.raises(FileNotFoundError, match="no list test"):
        AeroplaneOID(tmp_path, "test")
    (tmp_path / "own.txt").write_text("d.jpg\n")
    with pytest.raises(ValueError, match=r"'d', which is no image of .*anno\.mat"):
        AeroplaneOID(tmp_path, "own")
    (tmp_path / "images" / "aeroplane" / "a.jpg").unlink()
    with pytest.raises(FileNotFoundError, match=r"a\.jpg"):
        AeroplaneOID(tmp_path, "train")
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(ValueError, match=r"anno\.mat cannot be read"):
        AeroplaneOID(tmp_path, "val")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"nose": outlines([(301, np.nan, polygon(1, 1, 2, 2))])}, "nose.parentId holds NaN"),
        ({"meta": structs([{"image": structs([{"set": cells(["train", np.zeros((0, 0))])}])}])}, r"set\(2\) is \[0, 0\]"),
        ({"aeroplane": outlines([(101, 7, polygon(1, 1, 4, 6))])}, "aeroplane 101 is in image 7"),
        ({"wing": outlines([(401, 101, polygon(1, 1, 2, 2)[:, :2])])}, r"wing: the polygon of 401 is \[2, 2\]"),
        ({"wing": outlines([(401, 101, polygon(1, 1, np.nan, 2))])}, "wing: the polygon of 401"),
        ({"wing": outlines([(401, 101, polygon(1, 1, 1e12, 2))])}, "wing: the polygon of 401 .* below 1000000"),
        ({"wing": outlines([(401, 101, polygon(1, 1, 4, 2) + 1j)])}, "wing: the polygon of 401 .* of complex128"),
        ({"wing": outlines([(401, 101, csc_array(np.eye(3)))])}, r"wing.polygon\(1\) is a csc_.*; wanted a full array"),
        ({"wing": outlines([(401.5, 101, polygon(1, 1, 4, 2))])}, "wing.id holds NaN, fractions"),
        ({"wing": structs([{"id": 1.0, "parentId": np.zeros((0, 0)), "polygon": cells([])}])}, "1 ids, 0 parents"),
        ({"wheel": np.ones((1, 1))}, "wheel holds float64; wanted structs"),
        ({"meta": structs([{"image": structs([{"set": cells(["train"])}])}])}, "image.set does not say"),
        ({"image": structs([{"id": 1.0, "name": cells(["a.jpg", "b.jpg"])}])}, "2 names and 1 ids"),
    ],
)  # fmt: skip
def test_what_is_wrong_in_the_file_is_named(tmp_path: Path, changes: dict, message: str) -> None:
    write_oid(tmp_path, **changes)
    with pytest.raises(ValueError, match=rf"anno\.mat.*{message}"):
        AeroplaneOID(tmp_path, "train")


def test_parts_of_no_aeroplane_are_left_out_and_counted(tmp_path: Path) -> None:
    noses = [(301, 999, polygon(1, 1, 2, 2)), (302, 101, polygon(1, 1, 2, 2))]
    write_oid(tmp_path, nose=outlines(noses))
    with pytest.warns(UserWarning, match="parts left out, .*: 1, such as the nose of aeroplane 999"):
        source = AeroplaneOID(tmp_path, "train")
    assert PartSegmentation(source, Parts(classes=("aeroplane",)))[0].labels.eq(3).any()
