"""Kill a small training run at random moments, continue it each time, and compare its end with that of a run left alone.

python -m tests.train.killing --kills 20                        (minutes; ends with 1 where a bit differs)
"""

import argparse
import random
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import torch

import train.steps.loop
from crfrnn.data import make_toy
from crfrnn.nets import load_checkpoint
from tests.children import die, result
from tests.killing import kill
from tests.train.children import start


def die_at_the_first_step() -> None:
    def step(*args: object) -> None:
        die()

    train.steps.loop.Training.step = step  # type: ignore[assignment, method-assign]


def arguments(data: Path, out: Path, steps: int) -> list[str]:
    """A run of two stages, with checkpoints and validations at steps that are no multiples of one another."""
    shared = ["batch-size", "2", "crop", "33", "save-every", "3", "validate-every", "7", "keep-every", "10"]
    argv = f"--data {data} --out {out} --width 0.03 --workers 1 --only network joint".split()
    for stage in ("network", "joint"):
        for name, value in [*zip(shared[::2], shared[1::2], strict=True), ("steps", str(steps))]:
            argv += [f"--stages.{stage}.{name}", value]
    return argv


def differences(got: Path, wanted: Path) -> list[str]:
    """Tensors of the models and of the momentum that are not the same in every bit, by file."""
    files = sorted(path.name for path in wanted.glob("*.pt"))
    there = sorted(path.name for path in got.glob("*.pt"))
    if there != files:
        return [f"the files themselves: {there} for {files}"]
    found = []
    for file in files:
        ours, theirs = load_checkpoint(got / file), load_checkpoint(wanted / file)
        found += [f"{file}: {name}" for name in theirs["model"] if not ours["model"][name].equal(theirs["model"][name])]
        for key, state in theirs["training"].get("optimizer", {}).get("state", {}).items():
            if not torch.equal(
                ours["training"]["optimizer"]["state"][key]["momentum_buffer"], state["momentum_buffer"]
            ):
                found.append(f"{file}: momentum {key}")
    return found


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.train.killing", description=__doc__)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--steps", type=int, default=40, help="steps of each of the two stages (40)")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    options = parser.parse_args(argv)
    random.seed(options.seed)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        data = make_toy(root / "toy", num_train=6, num_val=2, size=(48, 56))
        result(start(arguments(data, root / "warm", options.steps), prepare=die_at_the_first_step))
        began = time.monotonic()
        result(start(arguments(data, root / "first", options.steps), prepare=die_at_the_first_step))
        startup = time.monotonic() - began
        if result(start(arguments(data, root / "whole", options.steps))) != 0:
            raise RuntimeError("the run does not get through even when left alone")
        work = time.monotonic() - began - 2 * startup
        argv, out = arguments(data, root / "killed", options.steps), root / "killed"
        killed = kill(
            lambda: start([*argv, "--resume"] if (out / "recipe.json").exists() else argv),
            options.kills,
            startup + 2 * work / options.kills,
        )
        found = differences(root / "killed", root / "whole")
    print(
        f"{startup:.1f} s to the first step, {work:.1f} s of work; killed {killed} times; different: {found or 'nothing'}"
    )
    return int(bool(found) or killed < options.kills)


if __name__ == "__main__":
    sys.exit(main())
