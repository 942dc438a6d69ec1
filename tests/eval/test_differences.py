"""Records of several commands and seeds side by side."""

import json
import statistics
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from eval.differences import main
from eval.scoring.counts import ImageCounts, matrices
from tests.csv_cells import cells

CLASSES = ("background", "cat")


def labelings(seed: int, errors: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Truth of six images, and labels of which the share `errors` is wrong, drawn with `seed`."""
    truth = torch.from_numpy(np.random.default_rng(0).integers(0, 2, (6, 8, 8)).astype(np.uint8))
    wrong = torch.from_numpy(np.random.default_rng(seed).random((6, 8, 8)) < errors)
    return truth, torch.where(wrong, 1 - truth, truth)


def iou(seed: int, errors: float) -> float:
    """Mean IoU of the whole set, counted by hand."""
    truth, labels = labelings(seed, errors)
    pairs = [(truth == label, labels == label) for label in (0, 1)]
    return 100 * statistics.fmean(float((a & b).sum() / (a | b).sum()) for a, b in pairs)


@pytest.fixture
def record(tmp_path: Path) -> Callable[..., str]:
    """A folder with the scores.json of a run and its counts; every row is (seed, errors)."""

    def make(name: str, **rows: tuple[int, float]) -> str:
        counts = ImageCounts(CLASSES)
        for image in range(6):
            drawn = {row: labelings(*values) for row, values in rows.items()}
            truth = labelings(0, 0)[0][image]
            counts.add(f"image{image}", matrices({row: labels[image] for row, (_, labels) in drawn.items()}, truth, 2))
        path = tmp_path / name / "scores.json"
        counts.write(path)
        path.write_text("{}")
        return str(path.parent)

    return make


def test_rows_of_one_record(record: Callable, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = record("run", network=(1, 0.4), control=(2, 0.3), joint=(3, 0.1))
    out = tmp_path / "out" / "table"
    out.parent.mkdir()
    assert main([folder, "--reference", "control", "--out", str(out), "--table", str(tmp_path / "t.csv")]) == 0
    content = json.loads(out.with_suffix(".json").read_text())
    assert (content["reference"], list(content["rows"])) == ("control", ["network", "joint"])
    found = content["rows"]["joint"]["mean IoU"]
    assert found["points"] == pytest.approx(iou(3, 0.1) - iou(2, 0.3))
    assert (found["sure"], found["seeds"]) == (True, None)
    assert content["command"].startswith("python -m eval.differences")
    assert out.with_suffix(".txt").read_text() == capsys.readouterr().out
    header, network, joint = cells(tmp_path / "t.csv")
    assert header[0] == "points over control"
    assert joint[1] == f"{found['points']:+.2f} [{found['images'][0]:.2f}, {found['images'][1]:.2f}]"
    assert network[1].startswith("-")


def test_seeds_of_two_systems(record: Callable, capsys: pytest.CaptureFixture[str]) -> None:
    """By hand: the interval over three paired seeds is their mean ± 4.303 standard deviations / sqrt(3)."""
    new = [record(f"new{seed}", network=(seed, 0.4), joint=(seed + 20, 0.1)) for seed in (1, 2, 3)]
    old = [record(f"old{seed}", joint=(seed + 30, 0.2)) for seed in (1, 2, 3)]
    assert main([*new, "--rows", "joint", "--over", *old, "--reference", "joint"]) == 0
    output = capsys.readouterr().out
    assert "points over joint of old1, old2," in output
    each = [iou(seed + 20, 0.1) - iou(seed + 30, 0.2) for seed in (1, 2, 3)]
    middle, reach = statistics.fmean(each), 4.303 * statistics.stdev(each) / 3**0.5
    line = next(line for line in output.splitlines() if line.startswith("joint"))
    assert f"{middle:+.2f} [" in line
    assert f"[{middle - reach:.2f}, {middle + reach:.2f}]" in line


def test_what_cannot_be_compared(record: Callable, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = record("run", network=(1, 0.4), joint=(2, 0.1))
    bare = tmp_path / "bare" / "scores.json"
    bare.parent.mkdir()
    bare.write_text("{}")
    cases = {
        "there is no file nowhere": ["nowhere"],
        "bare/scores.json keeps no counts of single images": [folder, "--over", str(bare)],
        "is given twice; wanted every run once": [folder, f"{folder}/scores.json"],
        "run/scores.json has no row 'best'; its rows are 'network', 'joint'": [folder, "--reference", "best"],
        "there is no row beside 'joint' to compare": [folder, "--reference", "joint", "--rows", "joint"],
        "there is no class 'zebra'": [folder, "--subset", "zebra"],
        "--out names no file": [folder, "--out", ""],
    }
    for message, argv in cases.items():
        assert main(argv) == 2, message
        assert message in capsys.readouterr().err
