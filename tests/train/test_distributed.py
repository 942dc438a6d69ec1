"""Two processes over gloo: the curve of one process, one set of scores, one writer, and a restart."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import train.steps.loop
from tests.children import die, result
from tests.train.children import start, start_pair
from tests.train.test_interruption import nth

# A sum in another order is all that may differ, and dropout, which every process draws for itself, would.
SETTINGS = [
    "--dropout",
    "0",
    "--stages.network.batch-size",
    "4",
    "--stages.joint.batch-size",
    "4",
    "--stages.joint.kernel-weight-multiplier",
    "1",
    "--stages.network.lr",
    "0.01",
]


def curve(run: Path, stage: str) -> list[float]:
    events = EventAccumulator(str(run / "tensorboard" / stage)).Reload()
    return [event.value for event in events.Scalars("1 loss/training")]


@pytest.fixture(scope="module")
def single(arguments: Callable, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "single"
    assert result(start(arguments(out, *SETTINGS))) == 0
    return out


def test_two_processes_give_the_curve_of_one_with_twice_the_batch(
    arguments: Callable, tmp_path: Path, single: Path, weights: Callable
) -> None:
    out = tmp_path / "pair"
    assert [result(child) for child in start_pair(arguments(out, *SETTINGS))] == [0, 0]
    for stage, steps in (("network", 6), ("joint", 4)):
        expected = curve(single, stage)
        assert len(expected) == steps
        assert curve(out, stage) == pytest.approx(expected, rel=1e-5)
        ours, theirs = weights(out / f"{stage}.pt"), weights(single / f"{stage}.pt")
        for name in theirs:
            torch.testing.assert_close(ours[name], theirs[name], rtol=1e-3, atol=1e-5)
    names = {path.name for path in single.iterdir()}
    assert {path.name for path in out.iterdir()} == names
    assert len((out / "log.txt").read_text().splitlines()) == len((single / "log.txt").read_text().splitlines())


def test_scores_of_shards_are_those_of_the_whole(arguments: Callable, tmp_path: Path, single: Path) -> None:
    out = shutil.copytree(single, tmp_path / "copy")
    (out / "scores.txt").unlink()
    assert [result(child) for child in start_pair(arguments(out, *SETTINGS, "--resume"))] == [0, 0]
    assert (out / "scores.txt").read_text() == (single / "scores.txt").read_text()


def die_in_the_fifth_step() -> None:
    train.steps.loop.clip_gradients = nth(train.steps.loop.clip_gradients, 5, die)


def test_started_again_by_torchrun_a_run_goes_on(arguments: Callable, tmp_path: Path, single: Path) -> None:
    out = tmp_path / "pair"
    argv = arguments(out, *SETTINGS)
    for child in start_pair(argv, prepare=die_in_the_fifth_step):
        assert result(child) == -9
    assert [result(child) for child in start_pair(argv, restarts=1)] == [0, 0]
    assert curve(out, "network") == pytest.approx(curve(single, "network"), rel=1e-5)
    assert curve(out, "joint") == pytest.approx(curve(single, "joint"), rel=1e-5)
