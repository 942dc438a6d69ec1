import json
import math
from pathlib import Path

import pytest

from eval.scoring.counts import ImageCounts
from eval.scoring.metrics import Scores
from eval.scoring.report import class_table, report, save_report, summary_table

SCORES = {
    "network": Scores(
        {"background": 90.0, "cat": 60.0, "dog": math.nan},
        pixel_accuracy=88.125,
        class_accuracy=80.0,
        weighted_iou=79.0,
    ),
    "network + dense CRF": Scores({"background": 91.0, "cat": 62.0, "dog": 0.0}, 89.0, 81.0, 80.5),
}


def test_summary_says_how_many_classes_a_mean_is_over() -> None:
    lines = str(summary_table(SCORES, ["cat", "dog"])).splitlines()
    assert "of 2" in lines[1]
    assert lines[3].split() == ["network", "75.00", "2", "of", "3", "60.00", "(1)", "88.12", "80.00", "79.00"]
    assert lines[4].split()[-9:] == ["CRF", "51.00", "3", "of", "3", "31.00", "89.00", "81.00", "80.50"]


def test_summary_without_a_subset_has_no_column_for_it() -> None:
    assert len(str(summary_table(SCORES)).splitlines()[3].split()) == 8


def test_class_table_marks_absent_classes() -> None:
    lines = str(class_table(SCORES)).splitlines()
    assert lines[1].split() == ["IoU,", "percent", "network", "dense", "CRF"]
    assert [line.split() for line in lines[3:]] == [
        ["background", "90.00", "91.00"],
        ["cat", "60.00", "62.00"],
        ["dog", "-", "0.00"],
    ]


def test_long_names_are_broken_after_commas() -> None:
    name = "CRF-RNN, untrained, T = 10"
    assert class_table({name: SCORES["network"]}).header == ["IoU, percent", "CRF-RNN,\nuntrained,\nT = 10"]


def test_saved_report(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "folder"
    save_report(folder, SCORES, ["dog"], {"images": 7})
    assert sorted(path.name for path in folder.iterdir()) == ["scores.json", "scores.txt"]
    assert (folder / "scores.txt").read_text() == report(SCORES, ["dog"]) + "\n"
    content = json.loads((folder / "scores.json").read_text())
    assert (content["images"], content["unit"]) == (7, "percent")
    assert content["scores"]["network"] == {
        "mean_iou": 75.0,
        "classes_in_mean": 2,
        "subset_mean_iou": None,
        "classes_in_subset_mean": 0,
        "pixel_accuracy": 88.125,
        "class_accuracy": 80.0,
        "weighted_iou": 79.0,
        "iou": {"background": 90.0, "cat": 60.0, "dog": None},
    }


def test_counts_of_an_earlier_record_do_not_stay(tmp_path: Path) -> None:
    counts = ImageCounts(["background", "cat"])
    save_report(tmp_path, SCORES, counts=counts)
    assert (tmp_path / "scores-counts.npz").exists()
    save_report(tmp_path, SCORES)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["scores.json", "scores.txt"]


def test_an_interrupted_save_leaves_the_old_report(tmp_path: Path) -> None:
    save_report(tmp_path, SCORES)
    before = {path.name: path.read_text() for path in tmp_path.iterdir()}
    with pytest.raises(TypeError):
        save_report(tmp_path, {"network": SCORES["network"]}, facts={"not for JSON": object()})
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == before
