"""The lease of a GPU: its sequence with stand-ins for the commands, and how many steps it trains."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
import torch

from eval.bench.gpu import lease
from train.options import parse
from train.recipes import RECIPES

JOINT = {"network": 12.0, "with CRF": 40.0}


class Commands:
    """In place of the commands: what was called, and what each returns."""

    def __init__(self, **codes: int) -> None:
        self.codes, self.called, self.environments = codes, [], []  # type: ignore[var-annotated]

    def __call__(self, command: Sequence[str], environment: Mapping[str, str], log: Path) -> int:
        name = log.stem
        self.called.append(list(command[1:]))
        self.environments.append(environment)
        log.write_text(f"{name} ran")
        if name == "speed" and self.codes.get(name, 0) == 0:
            (log.parent / "device.json").write_text(json.dumps({"joint step": JOINT}))
        return self.codes.get(name, 0)


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> Commands:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr("eval.scoring.record.hardware", lambda device: {"device": "stand-in"})
    stand_in = Commands()
    monkeypatch.setattr(lease, "call", stand_in)
    return stand_in


def ended(out: Path) -> dict[str, int]:
    return {name: step["code"] for name, step in json.loads((out / "lease.json").read_text())["steps"].items()}


def test_all_steps_in_their_order(commands: Commands, tmp_path: Path) -> None:
    assert lease.main(["--out", str(tmp_path / "new"), "--data", "VOCdevkit", "--minutes", "90"]) == 0
    tests, speed, training = commands.called
    assert tests[:2] == ["-m", "pytest"]
    assert commands.environments[0]["CRFRNN_TEST_DEVICE"] == "cuda"
    assert "CRFRNN_TEST_DEVICE" not in commands.environments[1]
    assert speed[:2] == ["-m", "eval.bench.gpu.device"]
    assert training[:2] == ["-m", "train.run"]
    assert training[training.index("--recipe") + 1] == "voc"
    parts = parse(training[2:])[1].recipe.stages  # the control has the steps of the joint stage, whatever fits
    assert parts["control"].steps == parts["joint"].steps > 1
    assert parts["control-crf"].steps == parts["crf"].steps > 1
    assert ended(tmp_path / "new") == {"tests": 0, "speed": 0, "training": 0}


def test_without_data_there_is_no_training(commands: Commands, tmp_path: Path) -> None:
    assert lease.main(["--out", str(tmp_path)]) == 0
    assert list(ended(tmp_path)) == ["tests", "speed"]


def test_it_goes_on_where_it_was(commands: Commands, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What failed runs again, what is done does not; a run that has begun goes on."""
    arguments = ["--out", str(tmp_path), "--data", "VOCdevkit", "--init", "vgg.pt"]
    commands.codes = {"tests": 1, "training": 143}
    assert lease.main(arguments) == 1
    assert "failed: tests, training; see" in capsys.readouterr().err
    (tmp_path / "voc").mkdir()
    (tmp_path / "voc" / "recipe.json").write_text("{}")
    commands.codes, commands.called = {}, []
    assert lease.main(arguments) == 0
    assert [called[1] for called in commands.called] == ["pytest", "train.run"]
    assert "--resume" in commands.called[1]
    assert "--recipe" not in commands.called[1]
    assert lease.main(arguments) == 0
    assert len(commands.called) == 2


def test_no_training_without_a_speed_table(commands: Commands, tmp_path: Path) -> None:
    commands.codes = {"speed": 2}
    assert lease.main(["--out", str(tmp_path), "--data", "VOCdevkit"]) == 1
    assert ended(tmp_path) == {"tests": 0, "speed": 2, "training": 2}
    assert "device.json, which is missing" in (tmp_path / "training.txt").read_text()


def test_steps_that_fit() -> None:
    """By hand, with three times the time of the device: 6000 steps of 30 images take 810 s, 4000 of 4 take 72 s without the
    CRF, 6000 of 4 take 360 s with it."""
    whole = {"network": 6000, "crf": 1000, "joint": 4000, "control": 4000, "control-crf": 1000}
    assert lease.fitting_steps(JOINT, 5000.0) == whole
    assert lease.fitting_steps(JOINT, 621.0) == {name: count // 2 for name, count in whole.items()}
    with pytest.raises(ValueError, match=r"^0 s are left for the training; wanted more: raise --minutes"):
        lease.fitting_steps(JOINT, 0.3)


def test_the_published_steps_are_those_of_the_recipe() -> None:
    stages = RECIPES["voc"].stages
    assert {name: (stage.steps, stage.batch_size) for name, stage in stages.items()} == lease.STAGES
    assert stages["network"].step_size == lease.STEP_SIZE
    assert {name: stage.like for name, stage in stages.items() if stage.like} == lease.FOLLOWING
    assert {name for name, stage in stages.items() if stage.trains == "network"} == set(lease.WITHOUT_CRF)


def test_without_a_gpu_it_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert lease.main(["--out", str(tmp_path / "new")]) == 2
    assert capsys.readouterr().err.startswith("eval.bench.gpu.lease: there is no GPU that torch can use")
    assert not (tmp_path / "new").exists()


def test_a_command_writes_its_log_as_it_goes(tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    log.write_text("before\n")
    assert lease.call(["sh", "-c", "echo $NAME; exit 3"], {"NAME": "after"}, log) == 3
    assert log.read_text() == "before\nafter\n"
