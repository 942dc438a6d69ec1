"""The control of joint training: the same run but for the CRF, and a table that compares joint training with it."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from crfrnn.data import VOCSegmentation
from eval.scoring.counts import ImageCounts
from eval.scoring.differences import of_rows
from train.distributed import Processes
from train.finish import differences, fixed
from train.folder import plain
from train.interrupt import Stop
from train.options import parse
from train.recipes import RECIPES, Recipe, Stage
from train.run import main
from train.state import Run
from train.steps.loop import Training
from train.steps.stream import Batch

pytestmark = pytest.mark.usefixtures("_no_pictures")

SHORT = """--width 0.03 --workers 0 --dropout 0.3 --stages.network.steps 2 --stages.network.batch-size 2
    --stages.network.crop 33 --stages.network.validate-every 0 --stages.joint.steps 3 --stages.joint.batch-size 2
    --stages.joint.crop 33 --stages.joint.ema 0.5 --stages.joint.validate-every 0 --stages.joint.scale 0.7 1.3
    --stages.crf.steps 2 --stages.crf.batch-size 2 --stages.crf.crop 33"""
NO_CRF = """--crf.appearance-weight 0 --crf.smoothness-weight 0 --stages.joint.kernel-weight-multiplier 0
    --stages.joint.compatibility-multiplier 0"""


def test_the_control_differs_from_joint_training_in_nothing_but_the_crf(
    toy: Path, tmp_path: Path, weights: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a CRF that does nothing and does not learn, both end in the same weights: data, rates, dropout, averages."""
    seen: dict[str, list[Batch]] = {}
    step = Training.step

    def watch(self: Training, passes: list[Batch]) -> float:
        seen.setdefault(self.name, []).extend(passes)
        return step(self, passes)

    monkeypatch.setattr(Training, "step", watch)
    only = ["--only", "network", "joint", "control"]
    assert main(["--data", str(toy), "--out", str(tmp_path / "run"), *SHORT.split(), *NO_CRF.split(), *only]) == 0
    assert len(seen["joint"]) == len(seen["control"]) == 3
    for joint, control in zip(seen["joint"], seen["control"], strict=True):
        assert joint.names == control.names
        assert torch.equal(joint.images, control.images)
        assert torch.equal(joint.labels, control.labels)
    joint, control, network = (weights(tmp_path / "run" / f"{name}.pt") for name in ("joint", "control", "network"))
    assert control.keys() == network.keys()
    assert not torch.equal(control["network.fc8.weight"], network["network.fc8.weight"])
    for name, tensor in control.items():
        torch.testing.assert_close(joint[name], tensor, rtol=1e-5, atol=1e-7)


def test_the_table_has_all_ways_and_joint_training_beside_the_best_other(
    toy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    assert main(["--data", str(toy), "--out", str(out), *SHORT.split()]) == 0
    content = json.loads((out / "scores.json").read_text())
    rows = [
        "network alone", "network + dense CRF", "CRF-RNN, untrained, T = 5", "CRF-RNN, untrained, T = 10",
        "CRF parameters alone, T = 5", "CRF parameters alone, T = 10",
        "control alone", "control + dense CRF", "control + CRF-RNN, untrained, T = 5",
        "control + CRF-RNN, untrained, T = 10", "control + CRF parameters alone, T = 5",
        "control + CRF parameters alone, T = 10", "CRF-RNN, T = 5", "CRF-RNN, T = 10",
    ]  # fmt: skip
    assert list(content["scores"]) == rows
    over_network, over_best = content["differences"]
    assert (over_network["reference"], list(over_network["rows"])) == (rows[0], rows[1:])
    best = max(rows[:-2], key=lambda row: content["scores"][row]["mean_iou"])
    assert (over_best["reference"], list(over_best["rows"])) == (best, rows[-2:])
    counts = ImageCounts.read(out / "scores.json")
    assert json.loads(json.dumps(of_rows(counts, best, rows=rows[-2:]).plain())) == over_best
    assert "is neither a gain nor a loss" in (out / "scores.txt").read_text().replace("\n", " ")
    assert (out / "scores.txt").read_text() in capsys.readouterr().out


def test_the_best_row_without_joint_training_is_the_best_over_classes_of_the_truth(toy: Path, tmp_path: Path) -> None:
    """Of "dog", which the truth lacks, the dense CRF has one pixel: its IoU of 0 is no part of the mean."""
    counts = ImageCounts(["background", "cat", "dog"])
    cats = {"network alone": [40, 60, 0], "network + dense CRF": [20, 79, 1]}
    cats |= {"CRF-RNN, T = 5": [9, 91, 0], "CRF-RNN, T = 10": [8, 92, 0]}
    for image in ("a", "b"):
        for row, found in cats.items():
            counts.add(image, {row: torch.tensor([[100, 0, 0], found, [0, 0, 0]]).repeat(2, 1, 1)})
    dataset = VOCSegmentation(toy, "val")
    stages = {name: Stage(steps=1, batch_size=1, lr=1.0, trains=name) for name in ("network", "joint")}
    for name in stages:
        (tmp_path / f"{name}.pt").touch()
    run = Run(Recipe(stages=stages), dataset, dataset, tmp_path, torch.device("cpu"), Processes(), Stop())
    over_network, over_best = differences(run, counts, [])
    assert (over_network.reference, over_best.reference) == ("network alone", "network + dense CRF")
    # By hand: cats 91 and 79 of 100, background 100 of 109 and of 120.
    gain = over_best.rows["CRF-RNN, T = 5"]["mean IoU"]
    assert gain is not None
    assert gain.points == pytest.approx(50 * (0.91 - 0.79 + 100 / 109 - 100 / 120))


def test_a_stage_follows_the_one_that_it_is_like() -> None:
    _, options = parse(["--stages.joint.lr", "0.5", "--stages.joint.steps", "9", "--stages.crf.batch-size", "7"])
    stages = options.recipe.stages
    assert stages["control"] == replace(stages["joint"], trains="network", like="joint")
    assert (stages["control"].lr, stages["control"].steps) == (0.5, 9)
    assert stages["control-crf"] == replace(stages["crf"], start="control", like="crf")
    _, same = parse(["--stages.joint.steps", "9", "--stages.control.steps", "9"])
    assert same.recipe.stages["control"].steps == 9
    _, apart = parse(["--stages.control.like", "None", "--stages.control.lr", "0.1"])
    assert apart.recipe.stages["control"].lr == 0.1


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (
            "--stages.control.lr 0.1",
            "--stages.control.lr is another than that of stage 'joint', which stage 'control' is like; set "
            "--stages.joint.lr for both, or --stages.control.like None",
        ),
        (
            "--stages.control.like later",
            "--stages.control.like is 'later'; wanted None, or a stage that is like no other",
        ),
        ("--stages.control.like control-crf", "--stages.control.like is 'control-crf'; wanted None"),
        (
            "--stages.control.start joint",
            "--stages.control.start is 'joint', but stage 'joint', whose control it is, begins from 'network'",
        ),
    ],
)
def test_what_a_control_cannot_be(more: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(more.split()) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("name", [name for name, it in RECIPES.items() if "joint" in it.stages])
def test_every_recipe_that_trains_jointly_has_a_control(name: str, tmp_path: Path) -> None:
    stages = RECIPES[name].stages
    assert stages["control"] == replace(stages["joint"], trains="network", like="joint")
    path = tmp_path / "recipe.json"
    path.write_text(json.dumps(plain(RECIPES[name])))
    assert parse(["--recipe", str(path), "--stages.joint.steps", "3"])[1].recipe.stages["control"].steps == 3


def test_an_untrained_crf_is_scored_where_a_stage_of_the_recipe_trains_one(toy: Path, tmp_path: Path) -> None:
    dataset = VOCSegmentation(toy, "val")
    alone = {"network": Stage(steps=1, batch_size=1, lr=1.0)}
    untrained = ("CRF-RNN, untrained, T = 5", "CRF-RNN, untrained, T = 10")
    for stages, rows in ((alone, []), (alone | {"joint": replace(alone["network"], trains="joint")}, [untrained])):
        run = Run(Recipe(stages=stages), dataset, dataset, tmp_path, torch.device("cpu"), Processes(), Stop())
        assert [method.rows for method in fixed(run, "network + ", "")] == [("network + dense CRF",), *rows]
