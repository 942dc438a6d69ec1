"""Part maps as data sets: which images and objects are in, crops at one scale, what a crop can hold."""

from pathlib import Path

import pytest
import torch

from crfrnn.data import (
    Parts,
    PartSegmentation,
    VOCSegmentation,
    allowed_labels,
    mirrored_labels,
    open_set,
    part_names,
    seeded,
    train_transform,
)
from crfrnn.data.parts import Corners
from crfrnn.data.parts.crops import cut, cut_labels, region_around, resized
from tests.part_files import pascal_object, person, rectangle, write_oid, write_pascal


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """a: a person and a bottle; b: a boat; c: a person without parts; d: a bottle."""
    bottle = pascal_object(
        "bottle", rectangle(0, 2, 7, 8), [("cap", rectangle(0, 1, 7, 8)), ("body", rectangle(1, 2, 7, 8))]
    )
    write_pascal(tmp_path, "a", [person(), bottle])
    write_pascal(tmp_path, "b", [pascal_object("boat", rectangle(3, 6, 0, 8))])
    write_pascal(tmp_path, "c", [pascal_object("person", rectangle(1, 6, 2, 6))])
    write_pascal(tmp_path, "d", [bottle])
    return tmp_path


def test_parts_of_one_class(root: Path) -> None:
    dataset = open_set(root, "all", Parts(classes=("person",), merge="coarse"))
    assert isinstance(dataset, PartSegmentation)
    assert dataset.names == ["a"]  # nothing can be learned of the person in c
    assert part_names(dataset) == ("head", "torso", "lower arm", "upper arm", "lower leg", "upper leg")
    assert dataset[0].labels.tolist() == [
        [0, 0, 0, 0, 0, 0, 0, 0],
        [0, 0, 1, 1, 1, 255, 0, 0],
        [0, 0, 2, 2, 2, 4, 0, 0],
        [0, 0, 2, 2, 2, 4, 0, 0],
        [0, 0, 6, 6, 6, 6, 0, 0],
        [0, 0, 6, 6, 6, 6, 0, 0],
    ]


def test_several_classes_and_whole_objects(root: Path) -> None:
    dataset = open_set(root, "all", Parts(classes=("bottle", "boat"), objects=("person",)))
    assert dataset.classes == ("background", "bottle cap", "bottle body", "boat", "person")
    assert dataset.names == ["a", "b", "c", "d"]
    assert [sample.labels.unique().tolist() for sample in dataset] == [[0, 1, 2, 4], [0, 3], [0, 4], [0, 1, 2]]


def test_without_parts_a_folder_is_what_it_was(voc: Path) -> None:
    dataset = open_set(voc, "train", Parts())
    assert isinstance(dataset, VOCSegmentation)
    assert part_names(dataset) == ()
    assert mirrored_labels(dataset) is None
    assert allowed_labels(dataset, 0) is None


def test_crops_have_one_scale(root: Path) -> None:
    dataset = open_set(root, "all", Parts(classes=("person", "bottle"), side=10, margin=0.2))
    assert dataset.names == ["a_1", "a_2", "d_1"]
    image, labels, _ = dataset[0]
    # The person's box is 4 x 5 pixels; with one pixel around it, cut off below, 6 x 6, brought to 10 / 5 of their size.
    assert image.dtype == torch.uint8
    assert (image.shape, labels.shape) == ((3, 12, 12), (12, 12))
    whole = open_set(root, "all", Parts(classes=("person", "bottle")))[0].labels
    assert torch.equal(labels[::2, ::2], whole[:, 1:7])
    assert torch.equal(labels[1::2, 1::2], labels[::2, ::2])
    large = open_set(root, "all", Parts(classes=("person", "bottle"), side=10, smallest=3))
    assert large.names == ["a_1"]


def test_a_crop_of_a_given_class_holds_no_other(root: Path) -> None:
    free = open_set(root, "all", Parts(classes=("person", "bottle"), merge="coarse", side=5, margin=0.4))
    given = open_set(
        root, "all", Parts(classes=("person", "bottle"), merge="coarse", side=5, margin=0.4, given_class=True)
    )
    assert {7, 8} <= set(free[0].labels.unique().tolist())
    assert given[0].labels.unique().tolist() == [0, 1, 2, 4, 6, 255]
    assert allowed_labels(free, 0) is None
    assert allowed_labels(given, 0).tolist() == [True] * 7 + [False] * 2
    assert allowed_labels(given, 1).tolist() == [True] + [False] * 6 + [True] * 2


def test_left_and_right_change_places_in_mirror_images(root: Path) -> None:
    dataset = open_set(root, "all", Parts(classes=("person",), merge="numbers"))
    sample = dataset[0]
    transform = train_transform(crop=sample.labels.shape, scale=(1, 1), mirrored=mirrored_labels(dataset))
    left, right = (dataset.classes.index(name) for name in ("luarm", "ruarm"))
    seen = set()
    for seed in range(8):
        image, labels = seeded(transform, sample.image, sample.labels, seed)
        mirrored = not torch.equal(image, sample.image.float())
        seen.add(mirrored)
        assert bool((labels == right).any()) == mirrored
        assert bool((labels == left).any()) != mirrored
        expected = sample.labels.flip(1) if mirrored else sample.labels
        same = (expected != left) & (expected != dataset.classes.index("ruleg"))
        assert torch.equal(labels[same], expected[same].long())
    assert seen == {True, False}


def test_aeroplanes_are_found_by_their_annotation(tmp_path: Path) -> None:
    write_oid(tmp_path)
    dataset = open_set(tmp_path, "all", Parts(classes=("aeroplane",), side=12, margin=0))
    assert dataset.names == ["a_1", "a_2", "b_1"]  # the second has no parts, but is an aeroplane
    assert part_names(dataset) == ("verticalStabilizer", "nose", "wing", "wheel")
    assert dataset[2].labels.shape == (8, 12)


def test_a_region_stays_in_the_image() -> None:
    region = region_around(Corners(2, 1, 6, 3), (10, 8), side=8, margin=0.5)
    assert region == (0, 0, 8, 5, (10, 16))
    with pytest.raises(ValueError, match="has no pixel within an image of 8 x 10"):
        region_around(Corners(8, 1, 9, 3), (10, 8), side=8, margin=0.5)
    # Half a pixel within the image is rounded to the last column.
    assert region_around(Corners(7.6, 1, 12, 3), (10, 8), side=8, margin=0)[:4] == (7, 1, 8, 3)


@pytest.mark.parametrize(
    "box", [Corners(0.1, 0.2, 0.6, 0.9), Corners(1, 1, float("inf"), 4), Corners(float("nan"), 1, 2, 3)]
)
def test_boxes_that_are_not_in_pixels(box: Corners) -> None:
    with pytest.raises(ValueError, match="is smaller than a pixel"):
        region_around(box, (10, 8), side=8, margin=0.5)


def test_cutting_takes_what_the_region_says() -> None:
    ramp = torch.arange(80.0).view(1, 8, 10)
    region = region_around(Corners(2, 1, 6, 3), (8, 10), side=4, margin=0)
    assert torch.equal(cut(ramp, region), ramp[:, 1:3, 2:6])
    assert cut_labels(torch.tensor([[1, 255]], dtype=torch.uint8), region._replace(
        left=0, top=0, right=2, bottom=1, size=(2, 6))).tolist() == [[1, 1, 1, 255, 255, 255]] * 2  # fmt: skip
    assert torch.allclose(resized(ramp, (4, 5)).mean(), ramp.mean())


def test_wrong_settings_are_named(root: Path) -> None:
    with pytest.raises(ValueError, match="given_class needs crops"):
        Parts(classes=("cat",), given_class=True)
    with pytest.raises(ValueError, match="side=0"):
        Parts(classes=("cat",), side=0)
    with pytest.raises(ValueError, match=r"none of the 4 listed images .* of the classes cat to learn from"):
        open_set(root, "all", Parts(classes=("cat",)))


@pytest.mark.parametrize("margin", [-0.1, float("nan"), float("inf")])
def test_a_margin_is_a_finite_number(margin: float) -> None:
    with pytest.raises(ValueError, match=f"margin={margin}; wanted pixels from 1 on, and 0 or more"):
        Parts(classes=("person",), side=5, margin=margin)
