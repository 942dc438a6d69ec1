"""Tables and curves of training runs, from folders written by hand."""

import json
from pathlib import Path

import pytest
import torch
from torch.utils.tensorboard import SummaryWriter

from eval.scoring.counts import ImageCounts
from tests.csv_cells import cells
from train.runs import curves, main


def write_run(folder: Path, seed: int, cat: float, lr: float = 0.1, **more: str) -> Path:
    recipe = {"stages": {"network": {"lr": lr}, "joint": {"lr": 0.5}}, "seed": seed}
    score = {"mean_iou": 50.0 + cat, "pixel_accuracy": 90.0, "class_accuracy": 70.0}
    score["iou"] = {"background": 80.0, "cat": cat, "dog": None}
    facts = {"command": "python -m train.run", **more, "seconds": {"network": 100.0, "joint": 20.0}, "recipe": recipe}
    folder.mkdir()
    (folder / "scores.json").write_text(json.dumps({**facts, "scores": {"network alone": score}}))
    (folder / "recipe.json").write_text(json.dumps(recipe))
    for stage, rows in (("network", ["network alone"]), ("joint", ["network alone", "CRF-RNN"])):
        with SummaryWriter(str(folder / "tensorboard" / stage)) as writer:
            for step in range(100):
                writer.add_scalar("1 loss/training", float(step), step)
            for row in rows:
                writer.add_scalar(f"2 mean IoU [percent]/{row}", cat, 100)
    return folder


@pytest.fixture
def runs(tmp_path: Path) -> list[Path]:
    return [
        write_run(tmp_path / "one", seed=0, cat=10.0),
        write_run(tmp_path / "two", seed=1, cat=14.0),
        write_run(tmp_path / "other", seed=0, cat=20.0, lr=0.2),
    ]


def test_seeds_of_a_recipe_share_a_row(runs: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "new" / "table"
    more = ["--out", str(out), "--table", str(tmp_path / "runs.csv"), "--figures", "pdf"]
    assert main([*map(str, runs), "--subset", "background", "cat", "dog", *more]) == 0
    of_seeds, of_other, _ = out.with_suffix(".txt").read_text().split("\n\n")
    # means 12 and 62 with a standard deviation of sqrt(8); background and cat: 45 and 47
    rows = [line.split("  ") for line in of_seeds.splitlines() if line.startswith("network alone")]
    numbers = [[cell.strip() for cell in row if cell.strip()] for row in rows]
    assert numbers == [["network alone", "62.0 ± 2.8", "46.0 ± 1.4", "90.0 ± 0.0", "70.0 ± 0.0"]]
    assert "training took 120 ± 0 s" in of_seeds
    assert cells(tmp_path / "runs.csv") == [
        [
            "one, two, percent: mean ± standard deviation",
            "mean IoU",
            "mean IoU of 3",
            "pixel accuracy",
            "class accuracy",
        ],
        ["network alone", "62.0 ± 2.8", "46.0 ± 1.4", "90.0 ± 0.0", "70.0 ± 0.0"],
    ]
    assert cells(tmp_path / "runs-other.csv")[1] == ["network alone", "70.0", "50.0", "90.0", "70.0"]
    assert "network alone 70.0 50.0 90.0 70.0" in " ".join(of_other.split())
    assert [run["name"] for run in json.loads(out.with_suffix(".json").read_text())] == ["one", "two", "other"]
    assert out.with_suffix(".pdf").stat().st_size > 10_000


def test_curves_are_those_of_the_events(runs: list[Path]) -> None:
    losses, joint_losses, scores, joint_scores = curves(runs, ["one", "two", "other"]).axes
    # The loss of step i is i, so the mean of ten steps up to i is i - 4.5.
    assert [list(line.get_ydata()) for line in losses.lines] == [[i - 4.5 for i in range(9, 100)]] * 3
    assert [list(line.get_xdata()) for line in joint_losses.lines] == [list(range(9, 100))] * 3
    assert [list(line.get_ydata()) for line in scores.lines] == [[10.0], [14.0], [20.0]]
    assert [line.get_linestyle() for line in joint_scores.lines] == ["--", "-"] * 3
    widths = [line.get_linewidth() for line in losses.lines]
    assert widths == sorted(set(widths), reverse=True)  # each shows where the next one covers it


def test_unfinished_runs_and_unknown_classes_are_named(
    runs: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(tmp_path), "--out", str(tmp_path / "table")]) == 2
    assert "scores.json; wanted the folder of a run that has come to its end" in capsys.readouterr().err
    (runs[1] / "scores.json").write_text("[]")
    assert main([str(runs[1]), "--out", str(tmp_path / "table")]) == 2
    assert f"{runs[1] / 'scores.json'} is not the scores.json of a run" in capsys.readouterr().err
    (runs[1] / "scores.json").write_text("{")
    assert main([str(runs[1]), "--out", str(tmp_path / "table")]) == 2
    assert f"{runs[1] / 'scores.json'} cannot be read" in capsys.readouterr().err
    assert main([str(runs[0]), "--subset", "fish", "--out", str(tmp_path / "table")]) == 2
    assert "there is no class 'fish'" in capsys.readouterr().err


def test_runs_that_begin_elsewhere_are_no_seeds_of_one(runs: list[Path], tmp_path: Path) -> None:
    elsewhere = write_run(tmp_path / "coco", seed=2, cat=30.0, init="coco.pt")
    assert main([str(elsewhere), *map(str, reversed(runs[:2])), "--out", str(tmp_path / "table")]) == 0
    text = (tmp_path / "table.txt").read_text()
    assert "coco, percent " in text
    assert "one, two, percent:" in text  # by their seeds
    write_counts(elsewhere, network=50)
    write_counts(runs[0], network=30)
    write_counts(runs[1], network=32)
    assert main([str(elsewhere), *map(str, runs[:2]), "--out", str(tmp_path / "table")]) == 0
    assert "points over network of coco" in (tmp_path / "table.txt").read_text()


def test_a_seed_that_comes_twice_is_refused(
    runs: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    again = write_run(tmp_path / "again", seed=1, cat=14.0)
    assert main([*map(str, runs), str(again), "--out", str(tmp_path / "table")]) == 2
    assert "two and again have one recipe, one --init and one seed; wanted runs that differ" in capsys.readouterr().err


def test_rows_that_only_some_runs_have_and_classes_that_are_nowhere(runs: list[Path], tmp_path: Path) -> None:
    record = json.loads((runs[1] / "scores.json").read_text())
    record["scores"]["CRF"] = record["scores"]["network alone"]
    (runs[1] / "scores.json").write_text(json.dumps(record))
    more = ["--subset", "dog", "--out", str(tmp_path / "table"), "--table", str(tmp_path / "runs.csv")]
    for order in (runs[:2], runs[1::-1]):
        assert main([*map(str, order), *more]) == 0
        assert cells(tmp_path / "runs.csv")[1:] == [["network alone", "62.0 ± 2.8", "", "90.0 ± 0.0", "70.0 ± 0.0"]]


def write_counts(run: Path, **hits: int) -> None:
    """Counts of two images of 100 pixels of cats, of which as many are found as `hits` says by row."""
    counts = ImageCounts(["cat", "dog"])
    for image in ("a", "b"):
        counts.add(image, {row: torch.tensor([[n, 100 - n], [0, 0]]).repeat(2, 1, 1) for row, n in hits.items()})
    counts.write(run / "scores.json")


def test_recipes_have_intervals_over_the_first(
    runs: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    more = ["--out", str(tmp_path / "table"), "--table", str(tmp_path / "runs.csv")]
    assert main([*map(str, runs[:2]), *more]) == 0
    assert "over" not in capsys.readouterr().out  # one recipe
    assert main([*map(str, runs), *more]) == 0
    assert "no intervals of what one recipe has over another" in capsys.readouterr().out
    write_counts(runs[0], network=30, CRF=40)
    write_counts(runs[1], network=32)
    write_counts(runs[2], network=50, CRF=45)
    assert main([*map(str, runs), *more]) == 0
    # 50 over the mean of 30 and 32, whose variance is 2, as that of 50 is taken to be: reach 12.706 * sqrt(2 / 2 + 2)
    assert cells(tmp_path / "runs-over-network-of-one-two.csv") == [
        ["points over network of one, two", "mean IoU", "over seeds", "within 5 px of void", "over seeds"],
        ["other", "+19.00 [19.00, 19.00]", "[-3.01, 41.01]", "+19.00 [19.00, 19.00]", "[-3.01, 41.01]"],
    ]
    text = (tmp_path / "table.txt").read_text()
    assert "[-3.01, 41.01]" in text
    assert "CRF of" not in text  # which a run of the first recipe lacks
