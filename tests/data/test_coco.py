"""COCO on a generated file: polygons, run lengths, crowds, label spaces, lists, and what can be wrong with a copy."""

import contextlib
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from pycocotools import mask
from pycocotools.coco import COCO

from crfrnn.data import COCO_LABELS, VOC_CLASSES, CocoSegmentation, LabeledBox, open_set, write_labels
from crfrnn.data.coco import COCO_CATEGORIES, COCO_TO_VOC
from crfrnn.data.coco.outlines import outline_mask
from crfrnn.data.coco_list import main
from tests.coco_files import annotation, write_coco

HEIGHT, WIDTH = 12, 17
SIZE = [HEIGHT, WIDTH]
NAN = float("nan")
TRIANGLE = [[1.5, 1.0, 13.2, 2.7, 6.0, 10.9]]
TWO = [[0, 0, 4, 0, 4, 4, 0, 4], [10, 6, 16.5, 6, 16.5, 11.5, 10, 11.5]]


def runs(top: int, left: int, bottom: int, right: int, compressed: bool) -> dict[str, Any]:
    inside = np.zeros((HEIGHT, WIDTH), dtype=np.uint8, order="F")
    inside[top:bottom, left:right] = 1
    if compressed:
        code = mask.encode(inside)
        return {"size": code["size"], "counts": code["counts"].decode()}
    flat, counts, value = inside.flatten(order="F"), [0], 0
    for pixel in flat:
        if pixel != value:
            counts, value = [*counts, 0], pixel
        counts[-1] += 1
    return {"size": [HEIGHT, WIDTH], "counts": counts}


ANNOTATIONS = [
    annotation(18, TRIANGLE, box=(1.5, 1.0, 11.7, 9.9)),  # dog
    annotation(1, runs(5, 6, 9, 9, True), box=(6, 5, 3, 4)),  # person, inside the dog
    annotation(27, runs(6, 6, 7, 8, False)),  # backpack on the person
    annotation(1, runs(4, 0, 12, 12, False), crowd=1, box=(0, 4, 12, 8)),
    annotation(17, TWO, image=12),  # cat
    annotation(17, [[1, 2, 3, 4]], image=12),  # no area
    annotation(52, TRIANGLE, image=13),  # banana
]


@pytest.fixture
def coco(tmp_path: Path) -> Callable[..., Path]:
    def make(annotations: list[dict] = ANNOTATIONS) -> Path:
        return write_coco(tmp_path, "train", annotations, (HEIGHT, WIDTH), (9, 12, 13))

    return make


def test_pixels_are_those_of_pycocotools(coco: Callable) -> None:
    root = coco()
    dataset = CocoSegmentation(root, "train")
    with contextlib.redirect_stdout(io.StringIO()):
        theirs = COCO(str(root / "annotations" / "instances_train.json"))
    dog, person, _, crowd = (theirs.annToMask(theirs.anns[i]).astype(bool) for i in range(4))
    expected = np.zeros((HEIGHT, WIDTH), dtype=np.uint8)
    for inside, label in ((crowd, 255), (dog, 12), (person, 15)):  # the smaller on top; the backpack covers no person
        expected[inside] = label
    sample = dataset[0]
    assert sample.labels.tolist() == expected.tolist()
    assert sample.labels.dtype == torch.uint8
    assert {12, 15, 255} <= set(expected.ravel().tolist())
    cat = theirs.annToMask(theirs.anns[4]).astype(bool)
    assert dataset[1].labels.tolist() == np.where(cat, 8, 0).tolist()
    assert not dataset[2].labels.any()  # a banana is background
    assert dataset.names == ["000000000009", "000000000012", "000000000013"]
    assert sample.image.shape == (3, HEIGHT, WIDTH)


def test_label_spaces(coco: Callable) -> None:
    own, joint = (CocoSegmentation(coco(), "train", labels) for labels in ("coco", "joint"))
    assert (own.num_labels, joint.num_labels) == (81, 81)
    assert own.classes[:2] == ("background", "person")
    assert own.classes[80] == "toothbrush"
    assert joint.classes[:21] == VOC_CLASSES
    assert {own.classes[label] for label in own[0].labels.unique() if label != 255} == {
        "background", "dog", "person", "backpack"
    }  # fmt: skip
    assert {joint.classes[label] for label in joint[0].labels.unique() if label != 255} == {
        "background", "dog", "person", "backpack"
    }  # fmt: skip
    assert {own.classes[label] for label in own[2].labels.unique()} == {"background", "banana"}


def test_the_table_of_categories() -> None:
    """VOC's names for the twenty, by the names of COCO where these differ."""
    other = {
        "airplane": "aeroplane", "dining table": "diningtable", "motorcycle": "motorbike", "potted plant": "pottedplant",
        "couch": "sofa", "tv": "tvmonitor",
    }  # fmt: skip
    found = {label: COCO_CATEGORIES[category] for category, label in COCO_TO_VOC.items()}
    assert [other.get(found[label], found[label]) for label in range(1, 21)] == list(VOC_CLASSES[1:])
    assert len(COCO_CATEGORIES) == 80
    for labels in COCO_LABELS.values():
        assert sorted(labels.of.values()) == list(range(1, len(labels.classes)))
        assert len(set(labels.classes)) == len(labels.classes)


def test_boxes(coco: Callable) -> None:
    dataset = CocoSegmentation(coco(), "train")
    assert dataset.boxes(0) == [LabeledBox(12, 1, 2, 11, 13), LabeledBox(15, 5, 6, 9, 9), LabeledBox(255, 4, 0, 12, 12)]
    assert dataset.boxes(2) == []
    wrong = coco([annotation(1, TRIANGLE, box=(3, 3, -1, 2))])
    with pytest.raises(ValueError, match=r"instances_train\.json, annotation 0: a box of -1 x 2"):
        CocoSegmentation(wrong, "train").boxes(0)


def test_lists_of_images_with_enough_to_learn_from(coco: Callable, tmp_path: Path) -> None:
    root = coco([annotation(18, runs(0, 0, 10, 12, True)), annotation(17, runs(0, 0, 9, 7, True), image=12)])
    for pixels, expected in ((1, ["9", "12"]), (63, ["9", "12"]), (64, ["9"])):
        out = tmp_path / "lists" / f"list-{pixels}.txt"  # a folder that is not there yet
        argv = ["--data", str(root), "--splits", "train", "--pixels", str(pixels), "--out", str(out)]
        assert main(argv) == 0
        assert out.read_text().splitlines() == [f"train {key}" for key in expected]
    listed = CocoSegmentation(root, tmp_path / "lists" / "list-1.txt")
    assert listed.names == ["000000000009", "000000000012"]
    assert main(argv) == 2  # the file is there already


def test_masks_of_other_origin(coco: Callable, tmp_path: Path) -> None:
    (tmp_path / "boxes").mkdir()
    for number in (9, 12, 13):
        write_labels(tmp_path / "boxes" / f"{number:012d}.png", torch.full((HEIGHT, WIDTH), 7))
    assert CocoSegmentation(coco(), "train", masks=tmp_path / "boxes")[0].labels.unique().tolist() == [7]
    write_labels(tmp_path / "boxes" / "000000000009.png", torch.full((HEIGHT, WIDTH), 21))
    with pytest.raises(ValueError, match=r"9\.png holds the label 21; wanted 0\.\.20"):
        CocoSegmentation(coco(), "train", masks=tmp_path / "boxes")[0]
    assert CocoSegmentation(coco(), "train", "joint", masks=tmp_path / "boxes")[0].labels.unique().tolist() == [21]
    (tmp_path / "boxes" / "000000000012.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"1 file listed in train does not exist: .*12\.png"):
        CocoSegmentation(coco(), "train", masks=tmp_path / "boxes")


def test_a_folder_says_what_it_is(coco: Callable) -> None:
    assert isinstance(open_set(coco(), "train"), CocoSegmentation)


@pytest.mark.parametrize(
    ("annotations", "message"),
    [
        ([annotation(12, TRIANGLE)], "annotation 0: there is no category 12"),
        ([annotation(1, TRIANGLE, image=99)], "there is no image 99"),
        ([{"category_id": 1, "image_id": 9}], r"annotation 0: it has no 'bbox'"),
        ([annotation("dog", TRIANGLE)], r"instances_train\.json, annotation 0: category_id is 'dog'"),
        ([annotation(1, TRIANGLE, box=(1, 2, NAN, 4))], r"annotation 0: the box is \[1, 2, nan, 4\]"),
        ([annotation(1, TRIANGLE, box=(1, 2, 3))], r"annotation 0: the box is \[1, 2, 3\], not four"),
        ([annotation(1, TRIANGLE, box=(1e308, 0, 1e308, 1))], r"annotation 0: the box is .*not finite"),
        ([annotation(1, TRIANGLE, box=(10**400, 0, 1, 1))], r"annotation 0: int too large"),
        ([annotation(1, TRIANGLE, crowd="0")], r"annotation 0: iscrowd is '0', not 0 or 1"),
        ([{"id": None}], "entry 0 of annotations: id is None, not a whole number from 0 on; wanted the instance"),
    ],
)
def test_damaged_annotations(coco: Callable, annotations: list[dict], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CocoSegmentation(coco(annotations), "train")


@pytest.mark.parametrize(
    ("outline", "message"),
    [
        (None, "an outline None; wanted a list of polygons, or run lengths"),
        ({"size": SIZE}, "an outline {'size': .*wanted a list of polygons, or run lengths with counts and size"),
        ({"size": SIZE, "counts": None}, "run lengths None; wanted a list of numbers, or text"),
        ({"size": SIZE, "counts": [5]}, "run lengths of 5 pixels in total, but its image has 204"),
        ({"size": SIZE, "counts": [-4, 208]}, "a run length of -4"),
        ({"size": SIZE, "counts": [0.5, 203.5]}, r"a run length of 0\.5; wanted whole numbers"),
        ({"size": SIZE, "counts": [NAN, 204]}, "a run length of nan"),
        ({"size": SIZE, "counts": [float("inf")]}, "a run length of inf"),
        ({"size": SIZE, "counts": ["204"]}, r"run lengths \['204'\]"),
        (
            {"size": [10**9, 10**9], "counts": [10**18]},
            r"run lengths of size \[1000000000, 1000000000\], but its image",
        ),
        ({"size": SIZE, "counts": "T6!"}, "compressed run lengths 'T6!' with a character that cannot be where it is"),
        ({"size": SIZE, "counts": "T6P"}, "compressed run lengths 'T6P' that end within a number"),
        ({"size": SIZE, "counts": "P" * 100_000}, "compressed run lengths 'PPP.*cannot be where it is"),
        ({"size": SIZE, "counts": "N?"}, "a run length of -2"),
        ({"size": SIZE, "counts": "5"}, "run lengths of 5 pixels in total"),
        ({"size": SIZE, "counts": "\u20ac"}, "compressed run lengths '\u20ac' with a character"),
        ([[1, 2, 3, 4, 5, 6, 7]], "a polygon of 7 numbers; wanted an even number"),
        ([[1, 2, 3, 4, 5]], "a polygon of 5 numbers; wanted an even number"),
        ([["a"] * 6], r"a polygon \['a', .*wanted a list of numbers"),
        ([7], "a polygon 7; wanted a list of numbers"),
        ([[1, 2, 3, 4, 1e9, 6]], r"a polygon with x = 1000000000\.0, far outside its image of 17 x 12"),
        ([[1, 2, 3, -13, 5, 6]], "a polygon with y = -13, far outside"),
        ([[1, 2, 3, float("inf"), 5, 6]], "a polygon with y = inf"),
        ([[NAN, 2, 3, 4, 5, 6]], "a polygon with x = nan"),
        (
            [[0, 0, 30, 20] * 500],
            r"a polygon that is 30000 pixels around, .* wanted at most 1000 times width plus height",
        ),
    ],
)
def test_damaged_outlines(coco: Callable, outline: Any, message: str) -> None:
    dataset = CocoSegmentation(coco([annotation(17, TRIANGLE), annotation(1, outline)]), "train")
    with pytest.raises(ValueError, match=rf"instances_train\.json, annotation 1: {message}"):
        dataset[0]


def test_run_lengths_are_those_of_pycocotools() -> None:
    """Among them runs of up to 70,000 pixels, as numbers of one to four characters, and differences below zero."""
    rng = np.random.default_rng(0)
    for density in (0, 1e-5, 0.001, 0.3, 1):
        inside = np.asfortranarray((rng.random((301, 233)) < density).astype(np.uint8))
        code = mask.encode(inside)
        outline = {"size": [301, 233], "counts": code["counts"].decode()}
        assert np.array_equal(outline_mask(outline, 301, 233), inside.astype(bool))


def test_a_polygon_may_stick_out_of_its_image() -> None:
    polygon = [[-17, -12, 34, -12, 34, 5, -17, 5]]
    expected = np.zeros((12, 17), dtype=bool)
    expected[:5] = True
    assert np.array_equal(outline_mask(polygon, 12, 17), expected)


def test_missing_things_are_named(coco: Callable, tmp_path: Path) -> None:
    root = coco()
    with pytest.raises(FileNotFoundError, match=r"neither a list .*val\.txt nor .*instances_val\.json"):
        CocoSegmentation(root, "val")
    (root / "train" / "000000000012.jpg").unlink()
    with pytest.raises(FileNotFoundError, match=r"1 file listed in train does not exist: .*000000000012\.jpg"):
        CocoSegmentation(root, "train")
    (tmp_path / "mine.txt").write_text("train 13\ntrain 5\n")
    with pytest.raises(ValueError, match="lists images that are not in the annotations, 1 in all, such as 'train 5'"):
        CocoSegmentation(root, tmp_path / "mine.txt")
    (tmp_path / "mine.txt").write_text("13\n")
    with pytest.raises(ValueError, match="wanted a split and an id"):
        CocoSegmentation(root, tmp_path / "mine.txt")
    (tmp_path / "mine.txt").write_text("\n")
    with pytest.raises(ValueError, match="no image in"):
        CocoSegmentation(root, tmp_path / "mine.txt")


def change(root: Path, kind: str, **fields: object) -> None:
    """Change fields of the first entry of a list in the annotation file."""
    file = root / "annotations" / "instances_train.json"
    content = json.loads(file.read_text())
    content[kind][0] |= fields
    file.write_text(json.dumps(content))


def test_sizes_have_to_agree(coco: Callable, tmp_path: Path) -> None:
    root = coco([annotation(1, {"size": [3, 4], "counts": [12]}, image=12)])
    with pytest.raises(
        ValueError, match=r"annotation 0: run lengths of size \[3, 4\], but its image has size \[12, 17\]"
    ):
        CocoSegmentation(root, "train")[1]
    Image.new("RGB", (4, 4)).save(root / "train" / "000000000009.jpg")
    with pytest.raises(ValueError, match=r"0009\.jpg is 4 x 4 but .*instances_train\.json says 17 x 12"):
        CocoSegmentation(root, "train")[0]
    write_labels(tmp_path / "000000000012.png", torch.zeros(5, 6, dtype=torch.uint8))
    for number in (9, 13):
        write_labels(tmp_path / f"{number:012d}.png", torch.zeros(HEIGHT, WIDTH, dtype=torch.uint8))
    with pytest.raises(ValueError, match=r"0012\.png is 6 x 5 but its image .*0012\.jpg 17 x 12"):
        CocoSegmentation(root, "train", masks=tmp_path)[1]


def test_a_declared_size_is_compared_before_anything_is_drawn(coco: Callable) -> None:
    root = coco()
    change(root, "images", height=10**9, width=10**9)
    for read in (CocoSegmentation(root, "train").labels, CocoSegmentation(root, "train").__getitem__):
        with pytest.raises(ValueError, match=r"0009\.jpg is 17 x 12 but .*says 1000000000 x 1000000000"):
            read(0)


def test_boxes_are_not_cut_off_at_a_declared_size(coco: Callable) -> None:
    root = coco()
    change(root, "images", height=8, width=8)
    with pytest.raises(ValueError, match=r"0009\.jpg is 17 x 12 but .*says 8 x 8"):
        CocoSegmentation(root, "train").boxes(0)


def test_an_id_names_one_image(coco: Callable) -> None:
    root = coco()
    change(root, "images", id=12)
    with pytest.raises(ValueError, match=r"instances_train\.json has several images of the id 12; wanted one of each"):
        CocoSegmentation(root, "train")


def test_unknown_label_spaces_are_refused(coco: Callable) -> None:
    with pytest.raises(ValueError, match="labels is 'lvis'; wanted one of voc, coco, joint"):
        CocoSegmentation(coco(), "train", "lvis")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"height": 12.5}, r"image 9: height is 12\.5, not a whole number from 1 on"),
        ({"width": -17}, "image 9: width is -17"),
        ({"width": NAN}, "image 9: width is nan"),
        ({"id": "nine"}, "image nine: id is 'nine'"),
        ({"file_name": None}, "image 9: unsupported operand"),
    ],
)
def test_damaged_images(coco: Callable, fields: dict, message: str) -> None:
    root = coco()
    change(root, "images", **fields)
    with pytest.raises(ValueError, match=rf"instances_train\.json, {message}"):
        CocoSegmentation(root, "train")


def test_categories_of_another_set(coco: Callable) -> None:
    root = coco()
    change(root, "categories", name="balloon")
    with pytest.raises(ValueError, match="category 1 is 'balloon', in COCO 'person'"):
        CocoSegmentation(root, "train")
