"""MSRC-21 on generated files: colors to labels by hand, lists, and what can be wrong with a copy."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from crfrnn.data import MSRC21, MSRC_CLASSES, VOCSegmentation, open_set

# void, building, horse | boat, grass, mountain
TRUTH = [[(0, 0, 0), (128, 0, 0), (128, 0, 128)], [(192, 64, 0), (0, 128, 0), (64, 0, 0)]]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for folder in ("Images", "GroundTruth", "splits"):
        (tmp_path / folder).mkdir()
    for name, suffix in (("1_1_s", "bmp"), ("2_7_s", "png")):
        Image.new("RGB", (3, 2), (10, 20, 30)).save(tmp_path / "Images" / f"{name}.{suffix}")
        Image.fromarray(np.array(TRUTH, dtype=np.uint8)).save(tmp_path / "GroundTruth" / f"{name}_GT.{suffix}")
    (tmp_path / "splits" / "Train.txt").write_text("2_7_s\n1_1_s\n")
    (tmp_path / "Test.txt").write_text("1_1_s.bmp\n")
    return tmp_path


def test_colors_become_labels(root: Path) -> None:
    dataset = MSRC21(root, "Train")
    sample = dataset[0]
    assert sample.labels.tolist() == [[255, 0, 255], [20, 1, 255]]
    assert [MSRC_CLASSES[i] for i in (0, 1, 20)] == ["building", "grass", "boat"]
    assert sample.image.shape == (3, 2, 3)
    assert sample.image[:, 0, 0].tolist() == [10, 20, 30]
    assert (sample.name, dataset.names, len(dataset)) == ("2_7_s", ["2_7_s", "1_1_s"], 2)
    assert dataset.num_labels == 21


def test_lists_lie_in_the_root_too_and_may_name_files(root: Path) -> None:
    assert MSRC21(root, "Test").names == ["1_1_s"]
    assert MSRC21(root, root / "splits" / "Train.txt").names == ["2_7_s", "1_1_s"]


def test_a_folder_says_what_it_is(root: Path, voc: Path) -> None:
    assert isinstance(open_set(root, "Train"), MSRC21)
    assert isinstance(open_set(voc, "train"), VOCSegmentation)


def test_missing_things_are_named(root: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no list Val.*Test, Train"):
        MSRC21(root, "Val")
    (root / "GroundTruth" / "2_7_s_GT.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"1 file listed in .*Train\.txt does not exist: .*2_7_s_GT"):
        MSRC21(root, "Train")
    (root / "splits" / "Train.txt").write_text("\n")
    with pytest.raises(ValueError, match="empty"):
        MSRC21(root, "Train")
    with pytest.raises(FileNotFoundError, match="Images and GroundTruth"):
        MSRC21(root / "nowhere", "Train")


def test_a_foreign_color_is_not_taken_for_a_label(root: Path) -> None:
    wrong = np.array(TRUTH, dtype=np.uint8)
    wrong[0, 1] = (129, 0, 0)
    Image.fromarray(wrong).save(root / "GroundTruth" / "1_1_s_GT.bmp")
    with pytest.raises(ValueError, match=r"1_1_s_GT.bmp holds the color \(129, 0, 0\) \(1 pixels"):
        MSRC21(root, "Train")[1]


def test_sizes_have_to_agree(root: Path) -> None:
    Image.new("RGB", (4, 2)).save(root / "GroundTruth" / "1_1_s_GT.bmp")
    with pytest.raises(ValueError, match="wanted equal sizes"):
        MSRC21(root, "Train")[1]
