"""Published tables, and ours beside them."""

import json
from pathlib import Path

import pytest

from crfrnn.data import VOC_CLASSES
from eval.published import TABLES, rows
from eval.published.__main__ import main
from tests.csv_cells import cells


@pytest.mark.parametrize("table", TABLES)
def test_every_row_has_numbers_and_a_source(table: str) -> None:
    for row in rows(table):
        assert row["source"]
        assert all(0 < float(value) < 100 for name, value in row.items() if name not in ("method", "source") and value)


def test_means_of_the_server_fit_their_classes() -> None:
    """The mean is over 21 classes; the background, which the slides leave out, makes up the difference, up to rounding."""
    for row in rows("voc2012_test"):
        classes = [float(row[name]) for name in VOC_CLASSES[1:]]
        background = 21 * float(row["mean_iou"]) - sum(classes)
        assert 75 < background < 100
        assert not row["background"] or float(row["background"]) == pytest.approx(background, abs=21 * 0.1)


def test_ours_are_marked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    score = {"mean_iou": 34.567, "iou": {"cat": 50.0, "dog": None}}
    (tmp_path / "scores.json").write_text(json.dumps({"images": 250, "scores": {"network": score}}))
    table = ["--table", str(tmp_path / "table.csv")]
    assert main(["voc2012_test", "--scores", str(tmp_path / "scores.json"), *table]) == 0
    assert cells(tmp_path / "table.csv")[-1][:3] == ["network", "measured", "34.57"]
    lines = capsys.readouterr().out.splitlines()
    (own,) = [line.split() for line in lines if "measured" in line]
    assert own[:3] == ["network", "measured", "34.57"]
    assert own[3 + VOC_CLASSES.index("cat")] == "50.00"
    assert own[3 + VOC_CLASSES.index("dog")] == "-"
    assert sum("quoted" in line for line in lines) == len(rows("voc2012_test"))


def test_our_trimaps(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "scores.json"
    curve = [10.0 + w for w in range(1, 41)]
    borders = {"half_widths": list(range(1, 41)), "bands": {"CRF-RNN": {"mean_iou": curve}}}
    path.write_text(json.dumps({"images": 84, "scores": {}, "borders": borders}))
    assert main(["voc2012_trimap_mean_iou", "--scores", str(path)]) == 0
    (own,) = [line.split() for line in capsys.readouterr().out.splitlines() if "measured" in line]
    assert own[:16] == ["CRF-RNN", "measured", *(f"{10 + w}.00" for w in range(1, 41, 3))]
    path.write_text(json.dumps({"images": 84, "scores": {}}))
    assert main(["voc2012_trimap_mean_iou", "--scores", str(path)]) == 2
    assert "eval.run with --borders" in capsys.readouterr().err


def test_what_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["other"]) == 2
    assert (
        "there is no table 'other'; the tables are msrc21, voc2012_test, voc2012_trimap_class_accuracy"
        in capsys.readouterr().err
    )
    (tmp_path / "scores.json").write_text(json.dumps({"images": 250, "scores": {"a": {"mean_iou": 1}}}))
    assert main(["voc2012_test", "--scores", str(tmp_path / "scores.json")]) == 0
    for content in ("{}", "[]", '{"images": 2, "scores": [1]}', '{"images": 2, "scores": {"a": {"mean_iou": "x"}}}'):
        (tmp_path / "scores.json").write_text(content)
        assert main(["voc2012_val", "--scores", str(tmp_path / "scores.json")]) == 2
        assert "scores.json holds no scores" in capsys.readouterr().err
    for damaged in (b"{", b"\xff\xfe", b"[" * 100_000):
        (tmp_path / "scores.json").write_bytes(damaged)
        assert main(["msrc21", "--scores", str(tmp_path / "scores.json")]) == 2
        assert "scores.json cannot be read" in capsys.readouterr().err
