"""Nothing is lost: killed, asked to stop, out of room."""

import errno
import json
import os
import resource
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import crfrnn.nets.weights.checkpoint
import train.steps.loop
from crfrnn.nets import load_checkpoint
from tests.children import die, result
from tests.train.children import start
from tests.train.interruptions import events_older, interrupted_in
from train.board.tags import DISTANCE
from train.folder import plain
from train.interrupt import Interrupted, Stop
from train.recipes import RECIPES
from train.run import main

pytestmark = pytest.mark.usefixtures("_no_pictures")


def nth(function: Callable, count: int, action: Callable[[], None]) -> Callable:
    """`function`, with `action` before its call number `count`."""
    calls = 0

    def call(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == count:
            action()
        return function(*args, **kwargs)

    return call


def die_before_renaming() -> None:
    """With the second checkpoint complete under its temporary name."""
    crfrnn.nets.weights.checkpoint.os.replace = nth(os.replace, 2, die)


def die_in_a_step() -> None:
    train.steps.loop.clip_gradients = nth(train.steps.loop.clip_gradients, 2, die)


def die_in_validation() -> None:
    train.steps.loop.validate = nth(train.steps.loop.validate, 2, die)


def test_a_run_killed_three_times_ends_bit_for_bit_as_one_that_was_not(
    arguments: Callable, assert_same_run: Callable, tmp_path: Path, uninterrupted: Path
) -> None:
    out = tmp_path / "run"
    resume: list[str] = []
    for prepare in (die_before_renaming, die_in_a_step, die_in_validation):
        assert result(start(arguments(out, *resume), prepare=prepare)) == -signal.SIGKILL
        resume = ["--resume"]
    assert result(start(arguments(out, *resume))) == 0
    assert_same_run(out, uninterrupted)
    assert [path.name for path in out.iterdir() if path.name.startswith(".")] == []


def die_when_step_4_is_kept() -> None:
    save = train.steps.loop.save

    def saving(path: Path, *rest: Any) -> None:
        if path.name == "network-4.pt":
            die()
        save(path, *rest)

    train.steps.loop.save = saving


def test_a_step_to_be_kept_is_kept_by_the_run_that_continues(arguments: Callable, tmp_path: Path) -> None:
    """Step 4 is one of those with a last.pt, too."""
    argv = arguments(tmp_path / "run", "--stages.network.keep-every", "4", "--only", "network")
    assert result(start(argv, prepare=die_when_step_4_is_kept)) == -signal.SIGKILL
    assert result(start([*argv, "--resume"])) == 0
    assert load_checkpoint(tmp_path / "run" / "network-4.pt")["training"]["step"] == 4


def test_the_crf_is_pulled_to_where_the_stage_began_without_init_again(
    toy: Path, uninterrupted: Path, weights: Callable, tmp_path: Path
) -> None:
    joint = replace(RECIPES["toy"].stages["joint"], start=None)
    recipe = tmp_path / "alone" / "recipe.json"
    recipe.parent.mkdir()
    recipe.write_text(json.dumps(plain(replace(RECIPES["toy"], stages={"joint": joint}))))
    argv = f"""--data {toy} --recipe {recipe} --width 0.03 --workers 0 --crf.appearance-weight 1 --stages.joint.steps 4
        --stages.joint.batch-size 2 --stages.joint.crop 33 --stages.joint.lr 0.01 --stages.joint.crf-decay 1""".split()
    init = ["--init", str(uninterrupted / "joint.pt")]
    assert main([*argv, *init, "--out", str(tmp_path / "whole")]) == 0
    with interrupted_in(3):
        main([*argv, *init, "--stages.joint.save-every", "2", "--out", str(tmp_path / "run")])
    events_older(tmp_path / "run", 1)
    assert main([*argv, "--stages.joint.save-every", "2", "--resume", "--out", str(tmp_path / "run")]) == 0
    whole, resumed = (weights(tmp_path / name / "joint.pt") for name in ("whole", "run"))
    assert all(torch.equal(resumed[name], tensor) for name, tensor in whole.items())
    boards = [EventAccumulator(str(tmp_path / name / "tensorboard" / "joint")).Reload() for name in ("whole", "run")]
    distances = [board.Scalars(DISTANCE)[-1] for board in boards]
    assert (distances[0].step, distances[0].value) == (distances[1].step, distances[1].value)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_writes_a_checkpoint_and_leaves(
    arguments: Callable,
    assert_same_run: Callable,
    tmp_path: Path,
    uninterrupted: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    number: signal.Signals,
) -> None:
    before, out = signal.getsignal(number), tmp_path / "run"
    with monkeypatch.context() as patch:
        ask = nth(train.steps.loop.clip_gradients, 5, lambda: os.kill(os.getpid(), number))
        patch.setattr(train.steps.loop, "clip_gradients", ask)
        assert main(arguments(out)) == 128 + number
    assert f"{number.name} in stage 'network'; continue with --resume" in capsys.readouterr().err
    assert load_checkpoint(out / "last.pt")["training"]["step"] == 5
    assert signal.getsignal(number) == before
    assert main(arguments(out, "--resume")) == 0
    assert_same_run(out, uninterrupted)


def test_outside_of_steps_a_signal_is_heard_at_once_and_a_second_ctrl_c_everywhere() -> None:
    stop = Stop()
    with stop.watching():
        with stop.deferred():
            signal.raise_signal(signal.SIGINT)
            assert stop.number == signal.SIGINT
            with pytest.raises(Interrupted), stop.raising():
                pytest.fail("a noted signal is heard before the part begins")
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(signal.SIGINT)
        with pytest.raises(Interrupted), Stop().watching():
            signal.raise_signal(signal.SIGTERM)


def little_room() -> None:
    """Files cannot grow beyond 64 KiB from the third checkpoint on, as on a disk that fills up."""

    def fill() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, 1 << 16))

    torch.save = nth(torch.save, 3, fill)


def test_a_full_disk_leaves_the_last_good_checkpoint(arguments: Callable, tmp_path: Path) -> None:
    out = tmp_path / "run"
    assert result(start(arguments(out), prepare=little_room)) == 2
    content = load_checkpoint(out / "last.pt")
    assert content["training"]["step"] == 3
    assert not (out / "network.pt").exists()
    assert [path.name for path in out.iterdir() if path.name.startswith(".")] == []


def test_a_folder_that_became_read_only_is_named(
    arguments: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"

    def refuse() -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(torch, "save", nth(torch.save, 2, refuse))
    assert main(arguments(out)) == 2
    message = capsys.readouterr().err.splitlines()[-1]
    assert f"{out / 'last.pt'} could not be written (Read-only file system)" in message
    assert f"{out / 'last.pt'} holds the last complete one" in message
    assert load_checkpoint(out / "last.pt")["training"]["step"] == 2


def test_a_folder_that_cannot_be_made_is_named(
    arguments: Callable, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    assert main(arguments(tmp_path / "file" / "run")) == 2
    assert str(tmp_path / "file" / "run") in capsys.readouterr().err
