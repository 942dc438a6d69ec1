"""The comparison of annotations: its commands are understood by train.run, what is finished is not run again."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from crfrnn._files import claim
from crfrnn.data import write_labels
from eval.scoring.counts import ImageCounts
from tests.csv_cells import cells
from train.options import parse
from train.steps.memory import Memory
from train.steps.mixture import check_mixture
from train.weak.commands import commands
from train.weak.rows import ROWS, SCHEDULES
from train.weak_table import Options, main, settings


@pytest.fixture
def data(tmp_path: Path) -> Path:
    root = tmp_path / "data"
    for folder in ("JPEGImages", "SegmentationClassAug", "ImageSets/Segmentation"):
        (root / folder).mkdir(parents=True)
    names = [f"image{i}" for i in range(6)]
    for name in names:
        Image.new("RGB", (8, 8)).save(root / "JPEGImages" / f"{name}.jpg")
        write_labels(root / "SegmentationClassAug" / f"{name}.png", torch.full((8, 8), 3))
    (root / "ImageSets" / "Segmentation" / "train_aug.txt").write_text("\n".join(names))
    return root


@pytest.fixture
def finish() -> Callable[[Path, int], None]:
    """Writes what a run leaves: in both of two images, `score` of 100 pixels of cats are found, and 5 more with the CRF."""

    def write(folder: Path, score: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "scores.json").write_text(json.dumps({"commit": "abc"}))
        counts = ImageCounts(["cat", "dog"])
        hits = {"network alone": score, "network + dense CRF": score + 5}
        matrices = {row: torch.tensor([[n, 100 - n], [0, 0]]).repeat(2, 1, 1) for row, n in hits.items()}
        for image in ("a", "b"):
            counts.add(image, matrices)
        counts.write(folder / "scores.json")

    return write


@pytest.mark.parametrize("network", SCHEDULES)
def test_every_row_is_a_run_of_train(data: Path, tmp_path: Path, network: str) -> None:
    out = tmp_path / "runs"
    more = {"network": network, "masks": 2, "steps": 7, "val_list": "train", "crf_weight": 0.5}
    targets, *runs = commands(Options(data=data, out=out, init="x.pt", seeds=(3,), **more))
    assert targets[:3] == ["python", "-m", "train.targets"]
    assert targets[targets.index("--kinds") + 1 : targets.index("--out")] == ["rect", "seg", "scribbles"]
    recipes = {}
    for name, command in zip(ROWS, runs, strict=True):
        assert command[:3] == ["python", "-m", "train.run"]
        _, options = parse(command[3:])
        assert (options.out, options.init, options.recipe.seed) == (out / f"{name}-3", "x.pt", 3)
        recipes[name] = options.recipe
        stage = options.recipe.stages["network"]
        check_mixture(options.recipe, name, stage)
        assert (options.recipe.network, options.recipe.val_list, stage.steps) == (network, "train", 7)
    stages = {name: recipe.stages["network"] for name, recipe in recipes.items()}
    own = stages["full"]
    assert all(replace(stage, mixture=own.mixture) == own for stage in stages.values())
    if network == "deeplab-largefov":
        assert (own.batch_size, own.crop, own.optimizer, own.freeze) == (2, 321, "sgd", ("conv1", "conv2", "conv3"))
    else:
        assert (own.crop, own.mirror, own.accumulate, own.freeze) == (None, False, own.batch_size, ("features.",))
        assert (own.as_tested, own.trunk_memory) == (True, 2)
        assert own.reset == ("aspp", "pooling", "projection", "logits")
    sources = {name: stage.mixture for name, stage in stages.items()}
    assert (sources["semi-seg"]["boxes"].annotation, sources["semi-seg"]["boxes"].masks) == ("pixels", "seg")
    assert sources["semi-seg"]["boxes"].split == str(out / "weak.txt")
    assert sources["semi-seg"]["boxes"].count == sources["semi-seg"]["masks"].count == own.batch_size / 2
    assert sources["mil"]["images"].e_step.method == "mil"
    assert (sources["full"]["scribbles"].annotation, sources["full"]["scribbles"].masks) == ("pixels", None)
    assert sources["strong"]["scribbles"].split == str(out / "strong.txt")
    biases = [sources[row]["boxes"].e_step for row in ("box-em", "semi-em")]
    assert [(each.foreground_bias, each.background_bias) for each in biases] == [(10, 5), (6, 5)]
    losses = {name: [each.crf_loss.weight for each in mixture.values()] for name, mixture in sources.items()}
    assert {name for name, weights in losses.items() if weights == [0.5]} == {
        "em-adapt-crf", "box-rect-crf", "scribble-crf"
    }  # fmt: skip
    assert [name for name, weights in losses.items() if weights not in ([0.5], [0], [0, 0])] == []


def test_lists_and_label_maps_are_those_that_the_rows_need(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "runs"
    found = commands(Options(data=data, out=out, masks=2, rows=("scribble", "full"), seeds=(0,)))
    assert [command[2] for command in found] == ["train.targets", "train.run", "train.run"]
    assert found[0][found[0].index("--kinds") + 1 :][:2] == ["scribbles", "--out"]
    strong, weak = ((out / f"{kind}.txt").read_text().split() for kind in ("strong", "weak"))
    assert strong == ["image0", "image3"]
    assert sorted(strong + weak) == [f"image{i}" for i in range(6)]
    alone = commands(Options(data=data, out=out, masks=2, rows=("full", "strong"), seeds=(1, 2)))
    folders = [Path(command[command.index("--out") + 1]).name for command in alone]
    assert folders == ["full-1", "strong-1", "full-2", "strong-2"]


def test_a_table_over_seeds_beside_what_is_published(
    data: Path, tmp_path: Path, finish: Callable, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out, called, memories = tmp_path / "runs", [], set()

    def call(command: list[str], memory: Memory) -> int:
        memories.add(id(memory))
        folder = Path(command[command.index("--out") + 1])
        called.append((folder.name, "--resume" in command))
        if folder.name == "mil-0":
            return 143
        if folder.name != "targets":
            finish(folder, 33)
        return 0

    monkeypatch.setattr("train.weak_table.call", call)
    argv = ["--data", str(data), "--out", str(out), "--masks", "2", "--subset", "cat", "dog"]
    assert main([*argv, "--rows", "em-adapt", "--seeds", "0", "1"]) == 0
    called.clear()
    memories.clear()
    finish(out / "em-adapt-0", 30)
    finish(out / "em-adapt-1", 40)
    (out / "em-fixed-0").mkdir(parents=True)
    (out / "em-fixed-0" / "recipe.json").touch()
    rows = ["--rows", "em-fixed", "em-adapt", "mil", "full", "--seeds", "0", "1"]
    assert main([*argv, *rows]) == 143  # of the run that was stopped
    assert called == [("em-fixed-0", True), ("mil-0", False)]
    assert len(memories) == 1
    finish(out / "em-fixed-1", 35)
    finish(out / "full-0", 60)
    assert main([*argv, *rows, "--only-table", "--table", str(tmp_path / "weak.csv")]) == 0
    assert main([*argv, "--only-table", "--out", str(tmp_path / "nowhere")]) == 2
    assert f"--out {tmp_path / 'nowhere'} holds no run of these rows and seeds" in capsys.readouterr().err
    by_row = {line[0]: line[1:] for line in cells(tmp_path / "weak.csv")[1:]}
    # The truth holds cats alone, so the mean is theirs. 30 and 40 deviate by 10 / sqrt(2), 33 and 35 by 2 / sqrt(2).
    assert by_row == {
        "image labels, em-fixed": ["34.0 ± 1.4", "34.0 ± 1.4", "39.0 ± 1.4", "39.0 ± 1.4", "20.8"],
        "image labels, em-adapt": ["35.0 ± 7.1", "35.0 ± 7.1", "40.0 ± 7.1", "40.0 ± 7.1", "38.2"],
        "all masks": ["60.0", "60.0", "65.0", "65.0", "67.6; 63.0 (no CRF)"],
    }
    # -3 and 5 by seed: 1 on average, with a deviation of sqrt(32) and 12.706 sqrt(32) / sqrt(2) on both sides.
    between = ["+1.00 [1.00, 1.00]", "[-49.82, 51.82]"]
    for name in ("all-classes", "2-classes"):
        assert cells(tmp_path / f"weak-differences-{name}.csv")[1:] == [
            ["image labels, em-adapt over image labels, em-fixed", *between, *between]
        ]
    text = (out / "table.txt").read_text()
    assert "image labels, em-adapt   35.0 ± 7.1" in text
    assert "+1.00 [1.00, 1.00]" in text
    assert "95 % interval" in text
    content = json.loads((out / "table.json").read_text())
    assert content["runs"]["full"]["0"]["commit"] == "abc"
    [difference] = content["differences"]["all classes"]
    assert (difference["row"], difference["over"], difference["network alone"]["points"]) == ("em-adapt", "em-fixed", 1)


def test_what_makes_no_table(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["--data", str(data), "--out", str(tmp_path / "runs"), "--masks", "2"]
    claim(
        tmp_path / "runs" / "settings.json", settings(Options(data, tmp_path, masks=2), [f"image{i}" for i in range(6)])
    )
    (tmp_path / "runs" / "mil-0").mkdir()
    for more, message in (
        (["--rows", "all"], "there is no row 'all'"),
        (["--rows", "mil", "mil"], "--rows is mil mil; wanted one or more, each once"),
        (["--seeds", "0", "0"], "--seeds is 0 0; wanted one or more, each once"),
        (["--seeds", "-1"], "--seeds is -1; wanted"),
        (["--crf-weight", "-1"], "--crf-weight is -1"),
        (["--masks", "9"], "made with another masks"),
        (["--steps", "9"], "made with another steps"),
        (["--crf-weight", "9"], "made with another crf_weight"),
        (["--network", "deeplab-largefov"], "made with another network"),
        (["--steps", "0"], "--steps is 0; wanted 1 <= steps <= 1,000,000,000"),
        (["--masks", "-1"], "--masks is -1; wanted 1 <= masks"),
        (["--subset", "cta"], "there is no class 'cta'"),
        (["--masks", "9", "--out", str(tmp_path / "other")], "wanted fewer, so that some are left"),
    ):
        assert main([*argv, *more]) == 2
        assert message in capsys.readouterr().err
