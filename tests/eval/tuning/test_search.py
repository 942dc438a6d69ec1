import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import eval.tuning.search
from crfrnn import CRFRNN
from crfrnn.data import VOCSegmentation, read_labels, write_labels
from crfrnn.presets import FixedCRF
from eval.tuning.scored_images import ScoredImages, ScoreSource
from eval.tuning.search import Counting, Search, main
from eval.tuning.search_grid import Grid, around, first_round, first_steps
from eval.tuning.search_store import Store
from tests.csv_cells import cells
from tests.eval.children import killed_after
from tests.eval.stored_scores import write_folder


@pytest.fixture
def arguments(voc: Path, tmp_path: Path) -> Callable[..., list[str]]:
    """The command line of a search on three of four images: four cells, then one round around the best."""
    scores = write_folder(voc, tmp_path / "scores")

    def make(out: str, *more: str) -> list[str]:
        text = f"""--data {voc} --unaries {scores} --out {tmp_path / out} --sample 3 --num-iterations 2 --rounds 1
            --grid.appearance-weight 1 2 --grid.theta-alpha 4 --grid.theta-beta 30 60
            --grid.smoothness-weight 1 --grid.theta-gamma 1"""
        return [*text.split(), *more]

    return make


def content(folder: Path) -> dict:
    return json.loads((folder / "crf.json").read_text())


@pytest.mark.parametrize("metric", ["mean_iou", "class_accuracy", "weighted_iou"])
def test_cells_are_scored_and_the_best_is_kept(arguments: Callable, voc: Path, tmp_path: Path, metric: str) -> None:
    assert main(arguments("out", "--metric", metric, "--table", str(tmp_path / "best.csv"))) == 0
    found = content(tmp_path / "out")
    assert cells(tmp_path / "best.csv") == [
        ["percent", metric], *([cell, f"{value:.2f}"] for cell, value in found["tried"].items())
    ]  # fmt: skip
    assert len(found["images"]) == 3
    values = list(found["tried"].values())
    assert values == sorted(values, reverse=True)
    assert 5 <= len(values) <= 8

    best = CRFRNN.from_settings(found["settings"])
    truths, guesses = [], []
    for sample in VOCSegmentation(voc, "val"):
        if sample.name in found["images"]:
            images = ScoredImages(ScoreSource(voc, tmp_path / "scores", sample=None))
            unary = images[images.names.index(sample.name)].unary
            known = sample.labels != 255
            truths.append(sample.labels[known].numpy())
            guesses.append(best(unary, sample.image[None].float())[0].argmax(0)[known].numpy())
    truth, guess = np.concatenate(truths), np.concatenate(guesses)
    hits = [np.sum((truth == label) & (guess == label)) for label in range(3)]
    out_of = [
        np.sum(truth == label) if metric == "class_accuracy" else np.sum((truth == label) | (guess == label))
        for label in range(3)
    ]
    weights = np.bincount(truth, minlength=3) if metric == "weighted_iou" else None
    assert values[0] == pytest.approx(100 * np.average(np.divide(hits, out_of), weights=weights))


def test_a_killed_search_goes_on(arguments: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert main(arguments("whole")) == 0
    assert killed_after("eval.tuning.search:main", arguments("killed"), "eval.tuning.search_store:Store.add", 2) == -9
    assert not (tmp_path / "killed" / "crf.json").exists()

    counted: list[tuple[int, int]] = []
    count = Counting.__call__

    def spy(self: Counting, task: tuple) -> object:
        counted.append((task[0], len(task[1])))
        return count(self, task)

    monkeypatch.setattr(Counting, "__call__", spy)
    assert main(arguments("killed")) == 0
    assert counted[0] == (2, 4)  # of the first round only the third image is left
    whole, killed = content(tmp_path / "whole"), content(tmp_path / "killed")
    assert (killed["tried"], killed["settings"]) == (whole["tried"], whole["settings"])

    counted.clear()
    assert main(arguments("killed", "--metric", "pixel_accuracy", "--rounds", "0")) == 0
    assert counted == []  # counts serve every metric
    assert content(tmp_path / "killed")["tried"] != whole["tried"]


def test_other_settings_are_refused(arguments: Callable, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert main(arguments("out")) == 0
    assert main(arguments("out", "--normalization", "symmetric")) == 2
    assert "holds a search with normalization 'after'" in capsys.readouterr().err
    np.save(tmp_path / "scores" / "a.npy", 2 * np.load(tmp_path / "scores" / "a.npy"))
    assert main(arguments("out")) == 2
    assert "holds a search with scores" in capsys.readouterr().err


def test_classes_that_no_image_holds(arguments: Callable, voc: Path, capsys: pytest.CaptureFixture) -> None:
    for path in (voc / "SegmentationClass").glob("*.png"):
        labels = read_labels(path)
        write_labels(path, torch.where(labels == 2, 0, labels))
    absent = VOCSegmentation(voc, "val").classes[2]
    assert main(arguments("out", "--subset", absent)) == 2
    assert f"none of the 3 images holds {absent}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--grid.appearance-weight", "0"], "--grid.appearance-weight is 0.0"),
        (["--grid.appearance-weight"], "--grid.appearance-weight has no value"),
        (["--rounds", "-1"], "--rounds is -1"),
        (["--workers", "0"], "--workers is 0"),
        (["--subset", "zebra"], "no class 'zebra'"),
        (["--sample", "9"], "of the 4 images"),
    ],
)
def test_errors_are_one_line(arguments: Callable, capsys: pytest.CaptureFixture, more: list[str], message: str) -> None:
    assert main(arguments("out", *more)) == 2
    error = capsys.readouterr().err
    assert error.startswith("eval.tuning.search: ")
    assert error.count("\n") == 1
    assert message in error


def test_rounds_walk_to_the_best(monkeypatch: pytest.MonkeyPatch, voc: Path, tmp_path: Path) -> None:
    """On a paraboloid with its top beyond the grid, and between its points."""

    def try_cells(self: Search, cells: list[FixedCRF], title: str) -> None:
        for cell in cells:
            self.values[cell] = (
                -((cell.appearance_weight - 4.2) ** 2)
                - ((cell.theta_alpha - 121) / 20) ** 2
                - (cell.theta_beta - 5) ** 2
            )

    monkeypatch.setattr(Search, "try_cells", try_cells)
    options = eval.tuning.search.Options(ScoreSource(voc), tmp_path, rounds=40)
    best = Search(options, None, None, None).run()  # type: ignore[arg-type]
    assert best.appearance_weight == pytest.approx(4.2, abs=0.1)
    assert best.theta_alpha == pytest.approx(121, abs=1)
    assert (best.theta_beta, best.smoothness_weight, best.theta_gamma) == (5, 3, 3)


def test_grid_of_the_paper() -> None:
    cells = first_round(Grid())
    assert len(set(cells)) == len(cells) == 2 * 6 * 8
    assert first_steps(Grid()) == {"appearance_weight": 5, "theta_alpha": 10, "theta_beta": 1}
    assert len(around(FixedCRF(5, 50, 3, 3, 3), first_steps(Grid()))) == 5  # a weight of 0 is left out


def test_store_keeps_matrices(tmp_path: Path) -> None:
    cell, counts = FixedCRF(1, 2, 3, 4, 5), torch.arange(9).view(3, 3)
    with Store(tmp_path, {"a": (1,)}) as store:
        store.add("x", {cell: counts})
    with Store(tmp_path, {"a": (1,)}) as store:
        assert torch.equal(store.get("x", cell), counts)
        assert not store.has("x", replace(cell, appearance_weight=2.0))
    (tmp_path / "damaged").mkdir()
    damaged = tmp_path / "damaged" / "tried.sqlite"
    whole = (tmp_path / "tried.sqlite").read_bytes()
    for content in (b"no data base" * 100, whole[:4096] + bytes(len(whole) - 4096), whole[: len(whole) // 2]):
        damaged.write_bytes(content)
        with (
            pytest.raises(OSError, match=r"tried\.sqlite cannot be used .*another folder"),
            Store(damaged.parent, {"a": 1}),
        ):
            pass
