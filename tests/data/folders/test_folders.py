"""Photographs and masks in folders of one's own: how masks are read, lists drawn, and mistakes told."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from crfrnn.data import FolderSegmentation, folder_set, open_set
from crfrnn.data.folders import read_folder_set, write_folder_set
from crfrnn.folders import Folders

LABELS = np.array([[0, 1, 2, 255], [2, 1, 0, 0], [1, 1, 1, 255]], dtype=np.uint8)
COLORS = {0: (0, 0, 0), 1: (250, 10, 0), 2: (0, 128, 7), 255: (255, 255, 255)}
TABLE = "0 0 0 sky\n250 10 0 sea\n0 128 7 dry land\n255 255 255 void\n"
CLASSES = ("sky", "sea", "dry land")


def photo(path: Path) -> None:
    path.parent.mkdir(exist_ok=True)
    Image.new("RGB", (4, 3), (10, 20, 30)).save(path)


def mask(path: Path, kind: str) -> None:
    path.parent.mkdir(exist_ok=True)
    if kind == "colors":
        Image.fromarray(np.array([[COLORS[int(v)] for v in row] for row in LABELS], dtype=np.uint8)).save(path)
        return
    image = Image.fromarray(LABELS)
    if kind == "palette":
        image.putpalette([7, 8, 9] * 256)
    image.save(path)


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    for index, suffix in enumerate(["jpg", "webp", "PNG", "bmp", "tiff", "jpeg"]):
        photo(tmp_path / "photos" / f"{index}.{suffix}")
        mask(tmp_path / "masks" / f"{index}.png", "gray")
    (tmp_path / "photos" / "notes.txt").write_text("not an image")
    return Folders(tmp_path / "photos", tmp_path / "masks", classes=CLASSES)


@pytest.mark.parametrize("kind", ["gray", "palette", "colors"])
def test_masks_of_all_kinds_give_the_same_labels(tmp_path: Path, kind: str) -> None:
    photo(tmp_path / "photos" / "a.jpg")
    photo(tmp_path / "photos" / "b.jpg")
    mask(tmp_path / "masks" / "a.png", kind)
    mask(tmp_path / "masks" / "b.png", kind)
    (tmp_path / "colors.txt").write_text(TABLE)
    colors = tmp_path / "colors.txt" if kind == "colors" else None
    names = () if kind == "colors" else CLASSES  # a table of colors names its labels
    source = folder_set(Folders(tmp_path / "photos", tmp_path / "masks", colors, classes=names))
    sample = open_set(source, "all")[0]
    assert sample.labels.tolist() == LABELS.tolist()
    assert sample.name == "a"
    assert sample.image.shape == (3, 3, 4)
    assert source.classes == CLASSES


def test_another_value_for_void(folders: Folders) -> None:
    assert folders.masks is not None
    for path in folders.masks.iterdir():
        Image.fromarray(np.where(LABELS == 255, 9, LABELS).astype(np.uint8)).save(path)
    source = folder_set(Folders(folders.images, folders.masks, void=9, classes=CLASSES))
    assert FolderSegmentation(source, "all")[3].labels.tolist() == LABELS.tolist()


def test_the_split_is_drawn_once_and_written_down(folders: Folders, tmp_path: Path) -> None:
    source = folder_set(folders)
    train, val = (open_set(source, name).names for name in ("train_aug", "val"))
    assert len(val) == 1  # a fifth of six, rounded
    assert sorted(train + val) == list("012345")
    splits = {
        tuple(folder_set(Folders(folders.images, folders.masks, split_seed=s, classes=CLASSES)).lists["val"])
        for s in range(20)
    }
    assert len(splits) > 1
    write_folder_set(tmp_path / "folders.json", source)
    assert folders.images is not None
    photo(folders.images / "7.jpg")  # pictures that come later do not move others between the lists
    assert read_folder_set(tmp_path / "folders.json") == source
    assert open_set(tmp_path / "folders.json", "train").names == train
    with pytest.raises(ValueError, match="describes another data set"):
        write_folder_set(
            tmp_path / "folders.json", folder_set(Folders(folders.images, folders.masks, classes=("a", "b", "c")))
        )


def test_lists_of_ones_own(folders: Folders, tmp_path: Path) -> None:
    assert folders.images is not None
    photo(folders.images / "unlabeled.jpg")
    (tmp_path / "mine.txt").write_text("4\n0.jpg\n")
    source = folder_set(folders)
    assert open_set(source, tmp_path / "mine.txt").names == ["4", "0"]
    with pytest.raises(FileNotFoundError, match=r"no file for 1 of the 7 images in the list train \(unlabeled\)"):
        open_set(source, "train")
    with pytest.raises(FileNotFoundError, match="there is no list trian"):
        open_set(source, "trian")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"masks": None}, "needs both --images and --masks"),
        ({"images": Path("nowhere")}, "there is no folder nowhere"),
        ({"classes": ()}, "pass --classes"),
        ({"classes": ("sky", "sky")}, "1 of them different"),
        ({"classes": ("names.txt",)}, "--classes is names.txt"),
        ({"void": 1}, "wanted a value from 3 to 255"),
        ({"colors": Path("nowhere.txt")}, "no table of colors nowhere.txt"),
    ],
)
def test_flags_that_make_no_data_set(folders: Folders, change: dict, said: str) -> None:
    with pytest.raises((ValueError, FileNotFoundError), match=said):
        folder_set(Folders(**{**vars(folders), **change}))


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("0 0 0 sky\n0 0 300 sea", "0 0 300 sea"),
        ("0 0 0 sky\n0 0 0 sea", "twice"),
        ("0 0 0 land\n9 9 9 sea\n8 8 8 sky", "names the labels land, sea, sky"),
    ],
)
def test_tables_of_colors_that_do_not_fit(folders: Folders, tmp_path: Path, table: str, said: str) -> None:
    (tmp_path / "colors.txt").write_text(table)
    with pytest.raises(ValueError, match=said):
        folder_set(Folders(folders.images, folders.masks, tmp_path / "colors.txt", classes=CLASSES))


def test_masks_that_hold_something_else(folders: Folders, tmp_path: Path) -> None:
    assert folders.masks is not None
    mask(folders.masks / "0.png", "colors")
    (tmp_path / "colors.txt").write_text(TABLE.replace("250", "251"))
    with pytest.raises(ValueError, match="RGB pixels; wanted one label a pixel"):
        open_set(folder_set(folders), "all")[0]
    painted = folder_set(Folders(folders.images, folders.masks, tmp_path / "colors.txt"))
    with pytest.raises(ValueError, match=r"the color \(250, 10, 0\) in 5 pixels"):
        open_set(painted, "all")[0]
    two = folder_set(Folders(folders.images, folders.masks, classes=("sky", "sea")))
    with pytest.raises(ValueError, match="the value 2 in 2 pixels"):
        open_set(two, "all")[1]
    Image.new("L", (3, 3)).save(folders.masks / "2.png")
    with pytest.raises(ValueError, match="wanted equal sizes"):
        open_set(folder_set(folders), "all")[2]


def test_two_files_of_one_name(folders: Folders) -> None:
    assert folders.images is not None
    photo(folders.images / "0.png")
    with pytest.raises(ValueError, match=r"both 0.jpg and 0.png"):
        folder_set(folders)


def test_a_single_image_can_be_scored_but_not_split(folders: Folders) -> None:
    assert folders.images is not None
    for index, path in enumerate(sorted(folders.images.glob("?.*"))):
        if index:
            path.unlink()
    source = folder_set(folders)
    assert open_set(source, "all").names == ["0"]
    with pytest.raises(ValueError, match=r"only the image 0 .*; wanted two or more, .* or the list all"):
        open_set(source, "train")


def test_the_name_of_a_list_comes_before_a_file_of_that_name(
    folders: Folders, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "val").write_text("0\n1\n2\n")
    source = folder_set(folders)
    assert open_set(source, "val").names == source.lists["val"]
    assert open_set(source, tmp_path / "val").names == ["0", "1", "2"]
