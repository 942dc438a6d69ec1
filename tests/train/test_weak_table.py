"""The comparison of annotations: its commands are understood by train.run, what is finished is not run again."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from PIL import Image

from crfrnn.data import write_labels
from tests.csv_cells import cells
from train.options import parse
from train.steps.mixture import check_mixture
from train.weak_table import ROWS, Options, commands, main


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
def finish() -> Callable[[Path, float], None]:
    def write(folder: Path, score: float) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        rows = {
            name: {"mean_iou": score + i, "iou": {"cat": score + 2 * i, "dog": score - 1}}
            for i, name in enumerate(("network alone", "network + dense CRF"))
        }
        (folder / "scores.json").write_text(json.dumps({"scores": rows, "commit": "abc"}))

    return write


def test_every_row_is_a_run_of_train(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "runs"
    targets, *runs = commands(Options(data=data, out=out, init="imagenet", masks=2, steps=7, val_list="train"))
    assert targets[:3] == ["python", "-m", "train.targets"]
    assert len(runs) == len(ROWS)
    for (name, row), command in zip(ROWS.items(), runs, strict=True):
        _, options = parse(command[3:])
        stage = options.recipe.stages["network"]
        check_mixture(options.recipe, name, stage)
        assert (stage.steps, stage.batch_size, stage.crop) == (7, 2, 321)
        assert (options.recipe.input_scale, options.recipe.network) == (0.5, "deeplab-largefov")
        assert options.recipe.val_list == "train"
        assert options.out == out / name
        assert ("--only" in command) == (row.recipe == "voc_small")
    strong, weak = ((out / f"{kind}.txt").read_text().split() for kind in ("strong", "weak"))
    assert strong == ["image0", "image3"]
    assert sorted(strong + weak) == [f"image{i}" for i in range(6)]
    by_name = {name: parse(command[3:])[1].recipe for name, command in zip(ROWS, runs, strict=True)}
    seg = by_name["semi-seg"].stages["network"].mixture["boxes"]
    assert (seg.annotation, seg.masks, seg.split) == ("pixels", "seg", str(out / "weak.txt"))
    assert by_name["mil"].stages["network"].mixture["images"].e_step.method == "mil"
    assert by_name["strong"].train_list == str(out / "strong.txt")
    assert targets[targets.index("--kinds") + 1 : targets.index("--out")] == ["rect", "seg", "scribbles"]
    scribbles = [by_name[row].stages["network"].mixture["scribbles"] for row in ("scribble", "scribble-crf")]
    assert [(it.annotation, it.crf_loss.weight) for it in scribbles] == [("scribbles", 0.0), ("scribbles", 1.0)]
    some = Options(data=data, out=out, masks=2, rows=("scribble", "full"))
    assert [command[:3] for command in commands(some)] == [targets[:3], runs[0][:3], runs[0][:3]]
    assert commands(some)[0][commands(some)[0].index("--kinds") + 1 :][:2] == ["scribbles", "--out"]


def test_a_table_beside_what_is_published(
    data: Path,
    tmp_path: Path,
    finish: Callable,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out, called = tmp_path / "runs", []

    def call(command: list[str], check: bool) -> SimpleNamespace:
        folder = Path(command[command.index("--out") + 1])
        called.append((folder.name, "--resume" in command))
        if folder.name == "mil":
            return SimpleNamespace(returncode=143)
        if folder.name != "targets":
            finish(folder, 33.0)
        return SimpleNamespace(returncode=0)

    monkeypatch.setattr(subprocess, "run", call)
    argv = ["--data", str(data), "--out", str(out), "--masks", "2", "--subset", "cat", "dog"]
    assert main([*argv, "--rows", "em-adapt"]) == 0
    called.clear()
    finish(out / "em-adapt", 30.0)
    (out / "em-fixed").mkdir(parents=True)
    (out / "em-fixed" / "recipe.json").touch()
    assert main([*argv, "--rows", "em-adapt", "em-fixed", "mil", "full"]) == 143  # of the run that was stopped
    assert called == [("em-fixed", True), ("mil", False)]
    table = ["--table", str(tmp_path / "weak.csv")]
    assert main([*argv, "--rows", "em-adapt", "em-fixed", "full", *table]) == 0
    assert cells(tmp_path / "weak.csv")[1] == ["image labels, em-adapt", "30.0", "29.5", "31.0", "30.5", "38.2"]
    assert called[2:] == [("full", False)]
    table = (out / "table.txt").read_text()
    assert [line.split() for line in table.splitlines()[3:]] == [
        ["image", "labels,", "em-adapt", "30.0", "29.5", "31.0", "30.5", "38.2"],
        ["image", "labels,", "em-fixed", "33.0", "32.5", "34.0", "33.5", "20.8"],
        ["all", "masks", "33.0", "32.5", "34.0", "33.5", "67.6"],
    ]
    assert json.loads((out / "table.json").read_text())["full"]["commit"] == "abc"
    assert main([*argv, "--rows", "all"]) == 2
    assert "there is no row 'all'" in capsys.readouterr().err
    for more, message in (
        (["--masks", "9"], "made with another masks"),
        (["--steps", "9"], "made with another steps"),
        (["--steps", "0"], "--steps is 0; wanted 1 <= steps <= 1,000,000,000"),
        (["--masks", "-1"], "--masks is -1; wanted 1 <= masks"),
        (["--subset", "cta"], "there is no class 'cta'"),
    ):
        assert main([*argv, *more]) == 2
        assert message in capsys.readouterr().err
    assert main([*argv, "--masks", "9", "--out", str(tmp_path / "other")]) == 2
    assert "wanted fewer, so that some are left" in capsys.readouterr().err
    assert main([*argv, "--only-table"]) == 0
    assert len(called) == 3
