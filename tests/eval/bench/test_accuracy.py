"""The command that measures the lattice against exact sums, on photographs of a few pixels."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from eval.bench.accuracy import main
from tests.csv_cells import cells


@pytest.fixture
def photos(tmp_path: Path) -> list[str]:
    random = np.random.default_rng(0)
    paths = [tmp_path / f"{name}.png" for name in "ab"]
    for path in paths:
        Image.fromarray(random.integers(0, 256, (13, 16, 3), np.uint8)).save(path)
    return [str(path) for path in paths]


def test_tables_and_files(tmp_path: Path, photos: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    unary, out = tmp_path / "unary.npz", tmp_path / "results" / "accuracy.json"
    np.savez(unary, names=["a", "b"], logits=np.random.default_rng(1).normal(0, 2, (2, 3, 3, 4)).astype(np.float32))
    arguments = ["--images", *photos, "--unary", str(unary), "--crop", "10", "12", "--out", str(out)]
    arguments += ["--theta-alpha", "8", "20", "--theta-beta", "60", "--theta-gamma", "2"]
    assert main([*arguments, "--table", str(tmp_path / "table.csv")]) == 0

    text = out.read_text()
    assert str(tmp_path) not in text
    found = json.loads(text)
    assert found["images"] == ["a.png", "b.png"]
    assert found["crop"] == {"height": 10, "width": 12}
    settings = [(row["unary"], row["thetas"], row["dilate"]) for row in found["appearance"]]
    assert settings == [
        (name, [alpha, 60], dilate)
        for alpha in (8, 20)
        for name in ("network", "synthetic")
        for dilate in (False, True)
    ]
    for row in found["appearance"] + found["smoothness"]:
        assert 0.3 < row["raw scale"] < 1.1
        assert 0 < row["normalized error"] < 0.3
    assert all(0.8 < row["equal labels"] <= 1 for row in found["appearance"])
    with Image.open(out.with_suffix(".png")) as picture:
        assert picture.format == "PNG"
    header, first, *_ = cells(tmp_path / "table.csv")
    share = 100 * next(row["normalized error"] for row in found["appearance"] if row["unary"] == "network")
    assert dict(zip(header, first, strict=True))["normalized error, %"] == f"{share:.1f}"
    assert [row[1] for row in cells(tmp_path / "table-smoothness.csv")] == ["bandwidths", "2", "2", "2", "2"]
    printed = capsys.readouterr().out.splitlines()
    assert sum(line.startswith(("network ", "synthetic ")) for line in printed) == 8 + 4


def test_photograph_below_the_crop(photos: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--images", *photos, "--crop", "14", "12"]) == 2
    assert "is 16 x 13 pixels; wanted at least the crop, 12 x 14" in capsys.readouterr().err
