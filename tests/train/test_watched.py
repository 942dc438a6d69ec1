"""The script of train/README.md that sends a run to wandb, with a module standing in for wandb."""

import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch.utils.tensorboard.writer as torch_writer

README = Path(__file__).parents[2] / "train" / "README.md"


def run_script() -> None:
    (code,) = re.findall(
        r"^```\n# watched\.py\n(.*?)^```", README.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
    )
    exec(code, {})


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list:
    """What wandb is asked for, and the scalars that it sees by taking the place of the writers of events, as it does."""
    found: list = []

    def patch(root_logdir: str) -> None:
        found.append(("patch", root_logdir))

        class Watching(torch_writer.EventFileWriter):
            def __init__(self, logdir: str, *args: object) -> None:
                self.name = Path(logdir).relative_to(root_logdir)
                super().__init__(logdir, *args)

            def add_event(self, event: object) -> None:
                for value in event.summary.value:  # type: ignore[attr-defined]
                    found.append((f"{self.name}/{value.tag}", event.step))  # type: ignore[attr-defined]
                super().add_event(event)

        monkeypatch.setattr(torch_writer, "EventFileWriter", Watching)

    def init(**options: object) -> None:
        found.append(("init", options))

    monkeypatch.setitem(sys.modules, "wandb", SimpleNamespace(tensorboard=SimpleNamespace(patch=patch), init=init))
    return found


@pytest.mark.usefixtures("_no_pictures")
def test_wandb_sees_the_scalars_of_a_run(
    arguments: Callable, calls: list, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    argv = arguments(tmp_path / "run", "--only", "network", "--stages.network.steps", "2")
    monkeypatch.setattr(sys, "argv", ["watched.py", *argv])
    monkeypatch.delenv("RANK", raising=False)
    with pytest.raises(SystemExit) as end:
        run_script()
    assert end.value.code == 0
    out = str(tmp_path / "run")
    assert calls[0] == ("patch", f"{out}/tensorboard")
    assert calls[1] == ("init", {"project": "crfrnn", "name": out, "config": {"command": " ".join(argv)}})
    loss = "network/1 loss/training"
    assert [call for call in calls if call[0] == loss] == [(loss, 0), (loss, 1)]
    assert ("network/2 mean IoU [percent]/network alone", 2) in calls


def test_only_one_of_several_processes_talks_to_wandb(calls: list, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["watched.py", "--recipe", "no such recipe"])
    monkeypatch.setenv("RANK", "1")
    with pytest.raises(SystemExit) as end:
        run_script()
    assert (end.value.code, calls) == (2, [])
