import json
import statistics
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from crfrnn import CRFRNN, smoothness_kernel
from eval.inputs.crf_file import read_crf
from eval.scoring.metrics import Confusion
from eval.tuning.ablate import main
from eval.tuning.ablation_cells import Running
from eval.tuning.ablation_report import columns
from eval.tuning.scored_images import ScoredImages, ScoreSource
from tests import csv_cells
from tests.eval.children import killed_after
from tests.eval.stored_scores import write_folder


@pytest.fixture
def arguments(voc: Path, tmp_path: Path) -> Callable[..., list[str]]:
    """The command line of an ablation with two cells of two seeds."""
    scores = write_folder(voc, tmp_path / "scores")

    def make(out: str, *more: str) -> list[str]:
        text = f"""--data {voc} --unaries {scores} --out {tmp_path / out} --sample 2 --test-iterations 3 --steps 2
            --train-iterations 1 2 --seeds 0 1 --start.appearance-weight 1 --start.theta-alpha 5 --start.theta-beta 60
            --start.smoothness-weight 1 --start.theta-gamma 2"""
        return [*text.split(), *more]

    return make


def content(folder: Path) -> list[dict]:
    return json.loads((folder / "ablation.json").read_text())["cells"]


def test_scores_of_every_number_of_iterations(
    arguments: Callable, voc: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    assert main(arguments("out", "--table", str(tmp_path / "table.csv"))) == 0
    header, *rows = csv_cells.cells(tmp_path / "table.csv")
    assert header == ["mean IoU, percent, by T at test", "0", "1", "2", "3", "best"]
    assert [row[0] for row in rows] == ["train T 1", "train T 2"]
    cells = content(tmp_path / "out")
    assert [(cell["train T"], cell["seed"]) for cell in cells] == [(1, 0), (1, 1), (2, 0), (2, 1)]
    images = ScoredImages(ScoreSource(voc, tmp_path / "scores", sample=2), rest=True)
    crf = read_crf(tmp_path / "out" / "cells" / "T2-both-scalar-potts-after-fixed-1-5-60-1-2-seed1.crf")
    assert crf.num_iterations == 2
    for iterations in range(4):
        confusion = Confusion(images.classes)
        for scored in images:
            logits = crf(scored.unary, scored.image, num_iterations=iterations)
            confusion.update(logits[0].argmax(0), scored.truth)
        assert cells[3]["mean_iou"][iterations] == confusion.scores().mean_iou

    over_network, over_first = json.loads((tmp_path / "out" / "ablation.json").read_text())["differences"]
    assert (over_network["reference"], over_first["reference"]) == ("network alone", "train T 1, T = 3")
    assert list(over_first["rows"]) == ["train T 2, T = 3"]
    found = over_first["rows"]["train T 2, T = 3"]["mean IoU"]
    points = [second["mean_iou"][3] - first["mean_iou"][3] for first, second in zip(cells[:2], cells[2:], strict=True)]
    assert found["points"] == pytest.approx(statistics.mean(points))
    reach = 12.706 * statistics.stdev(points) / 2**0.5  # Student's t at 97.5 % for one degree of freedom
    assert found["seeds"] == pytest.approx([found["points"] - reach, found["points"] + reach])
    first = over_network["rows"]["train T 1, T = 3"]["mean IoU"]
    assert first["points"] == pytest.approx(
        statistics.mean(cell["mean_iou"][3] - cell["mean_iou"][0] for cell in cells[:2])
    )
    assert "is neither a gain nor a loss" in (tmp_path / "out" / "ablation.txt").read_text().replace("\n", " ")

    values = [cell["mean_iou"][2] for cell in cells[:2]]
    line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("train T 1"))
    assert f"{statistics.mean(values):.2f} ±{statistics.stdev(values):.2f}" in line
    assert (tmp_path / "out" / "ablation.png").stat().st_size > 10_000
    board = EventAccumulator(
        str(tmp_path / "out" / "tensorboard" / "T2-both-scalar-potts-after-fixed-1-5-60-1-2-seed1")
    )
    board.Reload()
    assert [event.value for event in board.Scalars("mean IoU")] == pytest.approx(cells[3]["mean_iou"])


def test_solvers_and_the_limit_of_many_iterations(arguments: Callable, voc: Path, tmp_path: Path) -> None:
    """Learning at the fixed point is learning through very many iterations; Frank-Wolfe has no cells of its own there."""
    axes = (
        "--train-iterations 60 converged --damping 0 0.3 --solver mean_field frank_wolfe --seeds 0 --test-iterations 2"
    )
    assert main([*arguments("out", "--start.appearance-weight", "0.3"), *axes.split()]) == 0
    cells = content(tmp_path / "out")
    mean_field = [("mean_field", damping, t) for damping in ("0.0", "0.3") for t in (60, "converged")]
    found = [(cell["solver"], cell["damping"], cell["train T"]) for cell in cells]
    assert found == [*mean_field, ("frank_wolfe", "0.0", 60)]
    files = sorted((tmp_path / "out" / "cells").glob("*.crf"))
    crfs = {(crf.solver, crf.damping, crf.gradient): crf for crf in map(read_crf, files)}
    assert len(crfs) == 5
    assert crfs["frank_wolfe", 0.0, "unrolled"].step == 1.0
    for damping in (0.0, 0.3):
        unrolled, implicit = (crfs["mean_field", damping, gradient] for gradient in ("unrolled", "implicit"))
        learned = [crf.cell.kernel_weights for crf in (unrolled, implicit)]
        assert (learned[0] - 0.3).abs().max() > 0.01
        torch.testing.assert_close(learned[1], learned[0], rtol=0, atol=1e-3)


def test_a_killed_ablation_goes_on(
    arguments: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    assert main(arguments("whole")) == 0
    assert killed_after("eval.tuning.ablate:main", arguments("killed"), "eval.tuning.ablation_cells:Cells.add", 3) == -9
    ran = []
    running = Running.__call__

    def spy(self: Running, cell: object) -> None:
        ran.append(cell)
        running(self, cell)  # type: ignore[arg-type]

    monkeypatch.setattr(Running, "__call__", spy)
    assert main(arguments("killed")) == 0
    assert len(ran) == 1
    assert content(tmp_path / "killed") == content(tmp_path / "whole")
    assert main(arguments("killed", "--kernels", "smoothness", "both")) == 0
    assert len(ran) == 1 + 4  # those of the kernel that had not been asked for
    assert main(arguments("killed", "--steps", "3")) == 2
    assert "made with another learning" in capsys.readouterr().err
    next((tmp_path / "killed" / "cells").glob("*-counts.npz")).unlink()  # as earlier versions left it
    assert main(arguments("killed", "--kernels", "smoothness", "both")) == 0
    assert len(ran) == 1 + 4 + 1
    for path in (tmp_path / "killed" / "cells").glob("*.json"):
        if path.name != "settings.json":
            path.unlink()
    assert main(arguments("killed", "--steps", "3")) == 2  # what was learned, but not scored, counts too
    assert "made with another learning" in capsys.readouterr().err


def test_trained_models(
    make_checkpoint: Callable, gentle_crf: CRFRNN, voc: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    joint = tmp_path / "joint.pt"
    make_checkpoint(gentle_crf).rename(joint)
    arguments = ["--data", str(voc), "--test-iterations", "2", "--out", str(tmp_path / "out"), "--checkpoints"]
    assert main([*arguments, str(joint)]) == 0
    (cell,) = content(tmp_path / "out")
    assert (cell["training"], cell["seed"], len(cell["mean_iou"])) == ("joint", 0, 3)
    (tmp_path / "other").mkdir()
    other = tmp_path / "other" / "joint.pt"
    make_checkpoint(CRFRNN(3, [smoothness_kernel(theta_gamma=3, weight=20)])).rename(other)
    assert main([*arguments, str(other), str(joint)]) == 0
    first, second = content(tmp_path / "out")
    assert (first["checkpoint"], second["mean_iou"]) == (str(other), cell["mean_iou"])
    assert first["mean_iou"] != second["mean_iou"]
    plain = make_checkpoint()
    assert main([*arguments, str(plain)]) == 2
    assert "has no CRF" in capsys.readouterr().err
    assert main([*arguments, str(joint), "--seeds", "1"]) == 2
    assert "leave out scores and axes" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--test-iterations", "0"], "--test-iterations is 0"),
        (["--seeds"], "--seeds has no value"),
        (["--kernels", "both", "both"], "--kernels is both both; wanted one or more different"),
        (["--train-iterations", "0"], "--train-iterations is 0"),
        (["--train-iterations", "converged", "0"], "--train-iterations is 0"),
        (["--damping", "1"], "--damping is 1.0; wanted a share"),
        (["--solver", "frank_wolfe", "--damping", "auto"], "--solver frank_wolfe has cells with --damping 0"),
    ],
)
def test_bad_settings(arguments: Callable, capsys: pytest.CaptureFixture, more: list[str], message: str) -> None:
    assert main(arguments("out", *more)) == 2
    assert message in capsys.readouterr().err


def test_columns() -> None:
    assert columns(5) == [0, 1, 2, 3, 4, 5]
    assert columns(20) == [0, 1, 2, 3, 5, 10, 20]
