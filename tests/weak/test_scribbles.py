"""Scribbles as they are published, drawn, and made from masks."""

from pathlib import Path

import numpy as np
import pytest
import torch

from crfrnn.weak import Stroke, mask_scribbles, scribble_map, voc_scribbles
from crfrnn.weak.scribbles import SMALLEST, thinned

CLASSES = ("background", "cat", "dog")
POINT = "<point><X>{}</X><Y>{}</Y></point>"


def write(path: Path, *strokes: tuple[str, list[tuple[object, object]]], size: str = "") -> Path:
    polygons = "".join(
        f"<polygon><tag>{tag}</tag>{''.join(POINT.format(x, y) for x, y in points)}</polygon>"
        for tag, points in strokes
    )
    size = size or "<size><width>30</width><height>20</height><depth>3</depth></size>"
    path.write_text(f"<annotation><filename>a.jpg</filename>{size}{polygons}</annotation>")
    return path


def test_strokes_of_a_file(tmp_path: Path) -> None:
    """Rows come from Y; what lies outside of the image is moved to its edge."""
    path = write(tmp_path / "a.xml", ("dog", [(3, 4), (9, 5)]), ("background", [(31, 7), (-2, 20)]), ("cat", []))
    strokes, size = voc_scribbles(path, CLASSES)
    assert size == (20, 30)
    assert strokes == [Stroke(2, ((4, 3), (5, 9))), Stroke(0, ((7, 29), (19, 0))), Stroke(1, ())]


@pytest.mark.parametrize(
    ("error", "words", "file"),
    [
        (FileNotFoundError, "there is no annotation", None),
        (ValueError, "is not readable XML", "<annotation>"),
        (ValueError, "class 'cow'; wanted one of background, cat, dog", [("cow", [(1, 1)])]),
        (ValueError, "X = 'nan'; wanted a finite number", [("cat", [("nan", 1)])]),
        (ValueError, "Y = 'one'", [("cat", [(1, "one")])]),
    ],
)
def test_damaged_files(tmp_path: Path, error: type, words: str, file: object) -> None:
    path = tmp_path / "a.xml"
    if isinstance(file, str):
        path.write_text(file)
    elif file is not None:
        write(path, *file)  # type: ignore[misc]
    with pytest.raises(error, match=words):
        voc_scribbles(path, CLASSES)


def test_a_file_without_a_size(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="has no size/height"):
        voc_scribbles(write(tmp_path / "a.xml", size="<size></size>"), CLASSES)


def test_lines_are_three_pixels_wide_and_later_ones_on_top() -> None:
    drawn = scribble_map(
        [Stroke(1, ((4, 2), (4, 12))), Stroke(0, ((1, 7), (8, 7))), Stroke(2, ((9, 0),)), Stroke(3, ())], 10, 15
    )
    wanted = torch.full((10, 15), 255, dtype=torch.uint8)
    wanted[3:6, 1:14] = 1
    wanted[0:10, 6:9] = 0
    wanted[8:10, 0:2] = 2
    assert torch.equal(drawn, wanted)


def test_a_skeleton_by_hand() -> None:
    """A bar of three rows is thinned to its middle row, a T keeps its branch."""
    bar = np.zeros((13, 15), bool)
    bar[2:5, 1:14] = True
    rows, columns = np.nonzero(thinned(bar))
    assert set(rows) == {3}
    assert set(range(3, 12)) <= set(columns)
    bar[4:, 6:9] = True
    assert thinned(bar)[5:10, 7].all()
    assert thinned(np.ones((1, 9), bool)).all()


def test_strokes_stay_in_the_middle_of_their_regions() -> None:
    labels = torch.zeros(60, 90, dtype=torch.uint8)
    labels[20:40, 10:80] = 3
    labels[40:42, 8:82] = 255
    found = {stroke.label: stroke.points for stroke in mask_scribbles(labels, 0)}
    assert set(found) == {0, 3}
    assert all(27 <= row <= 32 for row, _ in found[3])
    columns = [column for _, column in found[3]]
    assert max(columns) - min(columns) >= 20
    drawn = scribble_map(mask_scribbles(labels, 0), 60, 90)
    known = drawn != 255
    assert torch.equal(drawn[known], labels[known])
    assert 0.01 < known.float().mean() < 0.1


def test_every_label_has_a_stroke_and_specks_beside_it_have_none() -> None:
    labels = torch.zeros(50, 50, dtype=torch.uint8)
    labels[2:4, 2:4] = 1  # its only region, though small
    labels[10:30, 10:30], labels[40:45, 40:45] = 2, 2
    labels[45:48, 2:30], labels[40:44, 2:30] = 4, 4
    assert 25 < SMALLEST <= 112
    assert sorted(stroke.label for stroke in mask_scribbles(labels, 0)) == [0, 1, 2, 4]
    labels[44, 2:30] = 4
    assert [stroke.label for stroke in mask_scribbles(torch.full((4, 4), 255), 0)] == []


def test_the_seed_decides() -> None:
    labels = torch.zeros(40, 60, dtype=torch.long)
    labels[10:30, 15:50] = 1
    assert mask_scribbles(labels, [1, 7]) == mask_scribbles(labels, [1, 7])
    assert mask_scribbles(labels, [1, 7]) != mask_scribbles(labels, [2, 7])
