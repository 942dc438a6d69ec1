"""Early stopping, over scores of validations that are given by step."""

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

import train.steps.loop
from crfrnn.nets import load_checkpoint
from tests.train.conftest import lines
from tests.train.interruptions import interrupted_in
from train.run import main

pytestmark = pytest.mark.usefixtures("_no_pictures", "_scores")
SCORES = {1: 10.0, 2: 30.0, 3: 20.0, 4: 30.0, 5: 60.0, 6: 50.0}
PATIENT = "--only network --stages.network.validate-every 1 --stages.network.save-every 100 --stages.network.patience"
WHY = "mean IoU not above 30.00 in 2 validations: stopped after step 4 of 6"


@pytest.fixture
def _scores(monkeypatch: pytest.MonkeyPatch) -> None:
    def validate(run: object, model: object, writer: object, step: int) -> tuple[float, str]:
        return SCORES[step], f"mean IoU {SCORES[step]:.2f}"

    monkeypatch.setattr(train.steps.loop, "validate", validate)


@pytest.fixture
def stopped(arguments: Callable, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """A run that stops after step 4, for want of a better score than that of step 2."""
    assert main(arguments(tmp_path / "stopped", *PATIENT.split(), "2")) == 0
    return tmp_path / "stopped"


def step_of(path: Path) -> int:
    return load_checkpoint(path)["training"]["step"]


def test_a_stage_stops_and_says_why(stopped: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert (step_of(stopped / "network.pt"), step_of(stopped / "network-best.pt")) == (4, 2)
    assert lines(stopped)[-2:] == ["network  step 4  mean IoU 30.00", f"network  step 4  {WHY}"]
    assert json.loads((stopped / "scores.json").read_text())["stopped"] == {"network": WHY}
    assert f"\nstage network: {WHY}\n" in capsys.readouterr().out


@pytest.mark.parametrize("step", [3, 4])
def test_a_resumed_run_stops_at_the_same_step(stopped: Path, arguments: Callable, tmp_path: Path, step: int) -> None:
    """last.pt is that of the validation before, whose score it does not know yet."""
    out = tmp_path / "resumed"
    with interrupted_in(step):
        main(arguments(out, *PATIENT.split(), "2"))
    assert main(arguments(out, *PATIENT.split(), "2", "--resume")) == 0
    assert_same(out, stopped)


@pytest.mark.parametrize("step", [2, 3, 4])
def test_a_signal_right_after_a_validation(
    stopped: Path, arguments: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    """last.pt knows the score of the validation, which comes again all the same: it counts once."""
    out = tmp_path / "resumed"
    write = train.steps.loop.Log.write

    def stop_after(self: train.steps.loop.Log, stage: str, at: int, text: str) -> None:
        write(self, stage, at, text)
        if at == step and text.startswith("mean IoU"):
            os.kill(os.getpid(), signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr(train.steps.loop.Log, "write", stop_after)
        ended = main(arguments(out, *PATIENT.split(), "2"))
    assert ended == (0 if step == 4 else 128 + signal.SIGTERM)  # after step 4 there is nothing left to stop
    if ended:
        assert main(arguments(out, *PATIENT.split(), "2", "--resume")) == 0
    assert_same(out, stopped)


def test_a_run_that_ended_in_the_last_validation(
    stopped: Path, arguments: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped when all is scored and the model of the stage is not written: no further step is taken."""
    out = tmp_path / "resumed"
    with monkeypatch.context() as patch:
        patch.setattr(train.steps.loop.Training, "save_result", interrupt)
        with pytest.raises(KeyboardInterrupt):
            main(arguments(out, *PATIENT.split(), "2"))
    assert main(arguments(out, *PATIENT.split(), "2", "--resume")) == 0
    assert_same(out, stopped)


def interrupt(self: object) -> None:
    raise KeyboardInterrupt


def assert_same(got: Path, wanted: Path) -> None:
    """Whether two runs stopped with the same bits and the same words."""
    for name in ("network.pt", "network-best.pt", "last.pt"):
        ours, theirs = load_checkpoint(got / name), load_checkpoint(wanted / name)
        assert all(ours["model"][key].equal(tensor) for key, tensor in theirs["model"].items())
        assert ours["training"].get("stopped") == theirs["training"].get("stopped")
        assert ours["training"]["step"] == theirs["training"]["step"]
    assert lines(got) == lines(wanted)


def test_a_patient_stage_goes_on(arguments: Callable, tmp_path: Path) -> None:
    assert main(arguments(tmp_path / "run", *PATIENT.split(), "3")) == 0
    assert step_of(tmp_path / "run" / "network.pt") == 6
    assert json.loads((tmp_path / "run" / "scores.json").read_text())["stopped"] == {}


def test_patience_without_validations_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--stages.joint.patience", "2", "--stages.joint.validate-every", "0"]) == 2
    assert "--stages.joint.patience is 2, but only the end of the stage is scored" in capsys.readouterr().err
