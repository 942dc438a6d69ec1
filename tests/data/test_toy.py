import re
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from crfrnn.data import TOY_CLASSES, VOCSegmentation, make_toy, scenes, toy

SMALL = {"num_train": 10, "num_val": 5, "size": (48, 64)}


def content(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_toy(tmp_path_factory.mktemp("toy") / "small", **SMALL)


@pytest.mark.parametrize(("split", "count"), [("train", 10), ("val", 5)])
def test_the_loader_reads_it(small: Path, split: str, count: int) -> None:
    dataset = VOCSegmentation(small, split)
    assert len(dataset) == count
    assert dataset.num_labels == 6
    assert dataset.classes == TOY_CLASSES == ("background", "disk", "ring", "star", "cross", "comb")
    pixels = torch.zeros(256, dtype=torch.int64)
    for image, labels, _ in dataset:
        assert image.shape == (3, 48, 64)
        assert labels.shape == (48, 64)
        pixels += torch.bincount(labels.flatten().long(), minlength=256)
    shares = pixels / pixels.sum()
    assert bool((shares[1:6] > 0.005).all())
    assert 0.3 < shares[0] < 0.95
    assert 0.02 < shares[255] < 0.2
    assert int(pixels[6:255].sum()) == 0


def test_layout(small: Path) -> None:
    files = set(content(small))
    assert {"classes.txt", "toy.json", "ImageSets/Segmentation/train.txt", "ImageSets/Segmentation/val.txt"} <= files
    assert sum(name.startswith("JPEGImages/") and name.endswith(".jpg") for name in files) == 15
    assert sum(name.startswith("SegmentationClass/") and name.endswith(".png") for name in files) == 15
    assert len(files) == 34
    assert [path.name for path in small.parent.iterdir()] == ["small"]  # nothing is left beside it


def test_objects_have_a_void_contour(small: Path) -> None:
    for sample in VOCSegmentation(small, "train"):
        labels = sample.labels.float()[None]
        is_object = (labels > 0) & (labels < 255)
        beside_object = F.max_pool2d(is_object.float(), 3, 1, 1) > 0
        assert bool(is_object.any())
        assert not bool((beside_object & (labels == 0)).any()), sample.name


def test_objects_stand_out_from_the_ground_beside_them() -> None:
    for seed in range(20):
        pixels, label_map = scenes.draw_scene(np.random.default_rng(seed), (64, 80), first_label=1 + seed % 5)
        image, labels = torch.from_numpy(pixels).float(), torch.from_numpy(label_map)
        for label in range(1, 6):
            shown = labels == label
            beside = (F.max_pool2d(shown[None].float(), 7, 1, 3)[0] > 0) & (labels == 0)
            if bool(shown.any()) and bool(beside.any()):
                assert float((image[shown].mean(0) - image[beside].mean(0)).norm()) > 80


def test_the_same_settings_give_the_same_bytes(small: Path, tmp_path: Path) -> None:
    state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()
    again = make_toy(tmp_path / "again", **SMALL)
    assert content(again) == content(small)
    assert torch.equal(torch.get_rng_state(), state)
    assert np.array_equal(np.random.get_state()[1], numpy_state)


def test_more_pictures_leave_the_first_ones_as_they_are(small: Path, tmp_path: Path) -> None:
    longer = content(make_toy(tmp_path / "longer", num_train=12, num_val=6, size=(48, 64)))
    pictures = {name: data for name, data in content(small).items() if name.endswith((".jpg", ".png"))}
    assert pictures.items() <= longer.items()


def test_seeds_and_splits_differ(small: Path, tmp_path: Path) -> None:
    other = content(make_toy(tmp_path / "other", num_train=2, num_val=2, size=(48, 64), seed=1))
    ours = content(small)
    pictures = [data for files in (ours, other) for name, data in files.items() if name.endswith(".jpg")]
    assert len(set(pictures)) == len(pictures) == 19


def test_a_complete_set_is_found_again(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(toy, "draw_scene", None)
    assert make_toy(small, **SMALL) == small


@pytest.mark.parametrize("change", [{"seed": 1}, {"num_val": 6}, {"size": (64, 48)}])
def test_other_settings_are_refused(small: Path, change: dict) -> None:
    before = content(small)
    with pytest.raises(ValueError, match=re.escape(str(small)) + " holds a toy set made with .*; wanted .*delete"):
        make_toy(small, **(SMALL | change))
    assert content(small) == before


def test_foreign_folders_and_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    for root in (tmp_path, tmp_path / "notes.txt"):
        with pytest.raises(ValueError, match="exists and is not a toy set"):
            make_toy(root, **SMALL)
    assert content(tmp_path) == {"notes.txt": b"mine"}


def test_a_damaged_note_of_the_settings_is_named(tmp_path: Path) -> None:
    for damaged in (b'{"seed": 0', b"\xff\xff"):
        (tmp_path / "toy.json").write_bytes(damaged)
        with pytest.raises(ValueError, match=r"toy\.json cannot be read"):
            make_toy(tmp_path, **SMALL)


def test_empty_and_missing_folders_are_filled(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for root in (tmp_path / "empty", tmp_path / "new" / "deep"):
        assert len(VOCSegmentation(make_toy(root, num_train=1, num_val=1, size=(48, 48)), "val")) == 1


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
def test_interrupted_generation_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    drawn = 0

    def draw(*arguments, **named):
        nonlocal drawn
        drawn += 1
        if drawn == 3:
            assert not (tmp_path / "toy").exists()
            raise error
        return scenes.draw_scene(*arguments, **named)

    with monkeypatch.context() as patch:
        patch.setattr(toy, "draw_scene", draw)
        with pytest.raises(error):
            make_toy(tmp_path / "toy", **SMALL)
    assert list(tmp_path.iterdir()) == []
    make_toy(tmp_path / "toy", num_train=1, num_val=1, size=(48, 48))


def test_two_processes_may_make_the_same_set(small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "toy"
    write = toy._write

    def write_while_another_finishes(*arguments) -> None:
        write(*arguments)
        if not root.exists():
            monkeypatch.setattr(toy, "_write", write)
            make_toy(root, **SMALL)

    monkeypatch.setattr(toy, "_write", write_while_another_finishes)
    assert make_toy(root, **SMALL) == root
    assert content(root) == content(small)
    assert [path.name for path in tmp_path.iterdir()] == ["toy"]


@pytest.mark.parametrize("change", [{"num_train": 0}, {"num_val": 0}, {"size": (47, 64)}, {"seed": -1}])
def test_settings_out_of_range(tmp_path: Path, change: dict) -> None:
    with pytest.raises(ValueError, match="wanted at least one picture in each split, 48 pixels"):
        make_toy(tmp_path / "toy", **(SMALL | change))
    assert list(tmp_path.iterdir()) == []


def test_progress_is_shown_only_for_long_work(tmp_path: Path, capfd: pytest.CaptureFixture) -> None:
    make_toy(tmp_path / "short", num_train=2, num_val=2, size=(48, 48))
    assert capfd.readouterr() == ("", "")
    make_toy(tmp_path / "long", num_train=50, num_val=1, size=(48, 48))
    out, err = capfd.readouterr()
    assert out == ""
    assert "51/51" in err


def test_at_least_half_of_every_object_stays_visible(monkeypatch: pytest.MonkeyPatch) -> None:
    placed = []
    place = scenes._place

    def remember(*arguments):
        placed.append(place(*arguments))
        return placed[-1]

    monkeypatch.setattr(scenes, "_place", remember)
    shares = []
    for seed in range(40):
        placed.clear()
        _, labels = scenes.draw_scene(np.random.default_rng(seed), (64, 64), first_label=4)
        window, coverage, _ = placed[0]
        shares.append(np.mean(labels[window][coverage >= 0.5] == 4))
    assert 0.5 <= min(shares) < 0.9
