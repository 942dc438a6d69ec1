"""A last checkpoint that does not fit its run is refused in one line with its name, and nothing is trained on top of it."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from crfrnn.nets import load_checkpoint
from train.run import main


def momentum(content: dict[str, Any]) -> dict[int, dict[str, torch.Tensor]]:
    return content["training"]["optimizer"]["state"]


CHANGES: list[tuple[Callable[[dict[str, Any]], object], str]] = [
    (lambda it: it.update(training=None), "last.pt"),
    (lambda it: it["training"].pop("stage"), "it has no 'stage'"),
    (lambda it: it["training"].pop("optimizer"), "it has no 'optimizer'"),
    (lambda it: it["training"]["progress"].update(speed=1.0), "unexpected keyword argument 'speed'"),
    (lambda it: it["training"]["progress"].update(step=-1), "it is of step -1, and the stage has 4"),
    (lambda it: it["training"]["progress"].update(step="two"), "last.pt"),
    (lambda it: it["training"]["optimizer"].update(param_groups=[]), "parameter group"),
    (lambda it: momentum(it)[0].update(momentum_buffer=torch.zeros(3)), "its momentum has a shape [3] for "),
    (lambda it: it["model"].pop("network.fc8.weight"), "network.fc8.weight"),
    (lambda it: it["model"].update({"network.fc8.weight": torch.zeros(2, 2)}), "size mismatch for network.fc8.weight"),
    (lambda it: it.update(classes=it["classes"][::-1]), "it was trained on other labels than those of --data"),
    (lambda it: it.update(classes=None), "last.pt"),
    (lambda it: it.update(classes="abcdef"), "last.pt"),
    (lambda it: it.update(classes=it["classes"][:3]), "last.pt"),
]


@pytest.mark.parametrize(("change", "message"), CHANGES)
def test_a_checkpoint_to_continue_from_fits_its_run(
    arguments: Callable,
    uninterrupted: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    change: Callable,
    message: str,
) -> None:
    out = shutil.copytree(uninterrupted, tmp_path / "run", ignore=shutil.ignore_patterns("joint.pt", "tensorboard"))
    content = load_checkpoint(out / "last.pt")
    change(content)
    torch.save(content, out / "last.pt")
    assert main(arguments(out, "--resume")) == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith("train.run: ")
    assert message in line
    assert not (out / "joint.pt").exists()


def test_a_checkpoint_that_is_cut_off(
    arguments: Callable, uninterrupted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = shutil.copytree(uninterrupted, tmp_path / "run", ignore=shutil.ignore_patterns("joint.pt", "tensorboard"))
    (out / "last.pt").write_bytes((out / "last.pt").read_bytes()[:-100])
    assert main(arguments(out, "--resume")) == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert str(out / "last.pt") in line
    assert "weights_only" not in line
